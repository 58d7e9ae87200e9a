import type { StreamRecord } from '../../lib/kafka/records.ts'
import type { Episode } from '../detection/episode.ts'
import { isOfPipeline } from '../wire/pipeline-header.ts'

/** The episode of a record; undefined for what is none, or another pipeline's: anybody may write to a topic. */
export function episodeOf({ value, headers }: StreamRecord, pipeline: string): Episode | undefined {
  if (value === null || !isOfPipeline(headers, pipeline)) return undefined
  try {
    const episode = JSON.parse(String(value)) as Partial<Episode> | null
    const isOne =
      typeof episode?.episodeId === 'string' && typeof episode.peakScore === 'number' && Array.isArray(episode.reasons)
    return isOne ? (episode as Episode) : undefined
  } catch {
    return undefined
  }
}
