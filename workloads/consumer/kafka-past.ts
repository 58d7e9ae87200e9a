import { messageOf } from '../../lib/errors.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { failureOf } from '../../lib/kafka/errors.ts'
import { readLast, readPartition } from '../../lib/kafka/read-partition.ts'
import type { StreamRecord } from '../../lib/kafka/records.ts'
import type { PublishedPast } from '../judging/published-past.ts'

/** How far the clocks of those who published may be apart. */
const clockSkewMs = 5000
/** Verdicts that are looked through, of each partition of their topic. */
const mostVerdicts = 200_000

/** What stands in the topic of events, and in that of their verdicts. */
export function kafkaPast(
  kafka: KafkaSettings,
  topics: { readonly source: string; readonly results: string },
): PublishedPast {
  return {
    wall: Date.now,
    async records(partition, from, to) {
      const records: StreamRecord[] = []
      const range = { topic: topics.source, partition, offset: from, until: to }
      await readPartition(kafka, range, (record) => void records.push(record))
      return records
    },
    async verdicts(idCounts, since) {
      const found = new Map<string, string[]>()
      let missing = [...idCounts.values()].reduce((sum, count) => sum + count, 0)
      const range = { topic: topics.results, since: since - clockSkewMs, most: mostVerdicts }
      const reading = readLast(kafka, range, (_, records) => {
        // What was published last counts: a transaction before it may have been aborted.
        for (const { value } of records.toReversed()) {
          const json = String(value)
          const id = idOf(json)
          const most = idCounts.get(id)
          if (most === undefined) continue
          const verdicts = found.get(id) ?? []
          if (verdicts.length === most) continue
          found.set(id, [json, ...verdicts])
          missing--
        }
        return missing === 0
      })
      await reading.catch((error: unknown) => {
        if (failureOf(error) !== 'Denied') throw error
        kafka.log.warn({ error: messageOf(error) }, 'what a killed consumer published of episodes is not known')
      })
      kafka.log.info({ topic: topics.results, missing }, 'looked up what a killed consumer had published')
      return found
    },
  }
}

/** Empty for what is no verdict. */
function idOf(json: string): string {
  try {
    return String((JSON.parse(json) as { readonly eventId?: unknown }).eventId ?? '')
  } catch {
    return ''
  }
}
