import type { KafkaBatch, KafkaRecord } from '../../lib/kafka/records.ts'
import type { Episode } from '../detection/episode.ts'
import type { Verdict } from '../detection/verdict.ts'
import { dayOf, type PostgresDays } from './postgres-days.ts'
import { copyRows, putEpisodes } from './postgres-history.ts'
import type { Omission, RecordingOptions } from './postgres-recording.ts'
import { RowBuffer } from './postgres-rows.ts'

export interface PublishedOptions {
  /** Whether a record is of the pipeline: another one may publish to the same topic. */
  readonly isOwn: (record: KafkaRecord) => boolean
  readonly schema: string
  readonly days: PostgresDays
  readonly keep: 'All' | 'Alerts'
  readonly wall: () => number
}

type Write = RecordingOptions['write']

/** Writes the verdicts of a batch, a row each. */
export function verdictWriter(options: PublishedOptions): Write {
  const { schema, days, keep } = options
  return async (batch, begin) => {
    const rows = new RowBuffer()
    const published = new Set<number>()
    const omitted = eachOf(batch, options, verdictIn, (verdict, json, time) => {
      if (keep === 'Alerts' && !verdict.isAnomaly) return
      published.add(dayOf(time))
      rows.add({ verdict, json, value: valueIn(verdict) }, time)
    })
    if (rows.rows > 0) {
      await days.ensure(published)
      await copyRows(await begin(), schema, rows)
    }
    return { rows: rows.rows, omitted }
  }
}

/** Writes what became of episodes. */
export function episodeWriter(options: PublishedOptions): Write {
  const { schema, wall } = options
  return async (batch, begin) => {
    const episodes: Episode[] = []
    const omitted = eachOf(batch, options, episodeIn, (episode) => void episodes.push(episode))
    if (episodes.length > 0) await putEpisodes(await begin(), schema, episodes, wall())
    return { rows: episodes.length, omitted }
  }
}

function eachOf<T>(
  { records }: KafkaBatch,
  { isOwn, days, wall }: PublishedOptions,
  read: (json: unknown) => T | undefined,
  take: (found: T, json: Buffer, published: number) => void,
): Partial<Record<Omission, number>> {
  const now = wall()
  const oldest = days.oldest(now)
  const omitted: Partial<Record<Omission, number>> = {}
  for (const record of records) {
    const omission = ((): Omission | undefined => {
      if (!isOwn(record)) return 'OtherPipeline'
      // A clock that is ahead makes no day of the future.
      const published = Math.min(record.timestamp, now)
      if (published < oldest) return 'Expired'
      const found = record.value === null ? undefined : read(parsed(record.value))
      if (found === undefined) return 'Unreadable'
      take(found, record.value!, published)
      return undefined
    })()
    if (omission !== undefined) omitted[omission] = (omitted[omission] ?? 0) + 1
  }
  return omitted
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}

function verdictIn(json: unknown): Verdict | undefined {
  if (typeof json !== 'object' || json === null) return undefined
  const { eventId, userId, timestamp, isAnomaly, anomalyScore, threshold, reasons } = json as Partial<Verdict>
  const isVerdict =
    typeof eventId === 'string' &&
    typeof userId === 'string' &&
    (timestamp === null || typeof timestamp === 'number') &&
    typeof isAnomaly === 'boolean' &&
    typeof anomalyScore === 'number' &&
    typeof threshold === 'number' &&
    Array.isArray(reasons) &&
    reasons.every((reason) => typeof reason?.feature === 'string')
  return isVerdict ? (json as Verdict) : undefined
}

function episodeIn(json: unknown): Episode | undefined {
  if (typeof json !== 'object' || json === null) return undefined
  const { episodeId, userId, state, firstTimestamp, lastTimestamp } = json as Partial<Episode>
  const isTime = (time: unknown) => time === null || typeof time === 'number'
  const isEpisode =
    typeof episodeId === 'string' &&
    (userId === null || typeof userId === 'string') &&
    (state === 'Open' || state === 'Closed') &&
    isTime(firstTimestamp) &&
    isTime(lastTimestamp)
  return isEpisode ? (json as Episode) : undefined
}

/** Verdicts of former releases say what the value was where that is among their reasons. */
function valueIn({ value, reasons }: Verdict): number {
  return value ?? reasons.find(({ feature }) => feature === 'value')?.observed ?? Number.NaN
}
