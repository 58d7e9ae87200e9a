import type { KafkaAdmin } from '../../lib/kafka/admin.ts'
import { partitionOf } from '../../lib/kafka/partitioner.ts'
import type { OutgoingRecord, RecordBatch, StreamRecord } from '../../lib/kafka/records.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { ResultStore } from '../state/state.ts'
import type { StreamHandler } from '../streams/stream.ts'
import { deadLetterHeaders } from '../wire/dead-letter.ts'
import { feedbackRecord, readFeedback } from '../wire/feedback-record.ts'
import { parseBody } from '../wire/json-body.ts'
import type { Rejection } from '../wire/rejection.ts'

export interface FeedbackMoverOptions {
  readonly pipeline: Pipeline
  readonly results: Pick<ResultStore, 'get'>
  readonly admin: Pick<KafkaAdmin, 'topicOffsets'>
}

/**
 * Moves what is said in a topic of its own to the topic of events: there it has its place among the events of its key, and
 * is learnt by whoever owns them, in the transaction of the batch that it is in. What is said of an event that nobody
 * knows any more becomes a dead letter.
 */
export function feedbackMover({ pipeline, results, admin }: FeedbackMoverOptions): StreamHandler {
  const { source, results: topics } = pipeline.spec

  async function moved({ value, timestamp }: StreamRecord): Promise<OutgoingRecord | Rejection> {
    const parsed = parseBody(value)
    if ('reason' in parsed) return parsed
    const said = readFeedback(parsed.value)
    if ('reason' in said) return said
    const known = said.verdict === undefined ? await results.get(said.eventId) : undefined
    const verdict = said.verdict ?? (known === undefined ? undefined : (JSON.parse(known) as Verdict))
    if (verdict !== undefined) return feedbackRecord({ ...said, verdict, time: said.time ?? timestamp }, source.topic)
    const name = JSON.stringify(said.eventId)
    const message = `there is no verdict of the event ${name}, or no longer; send it along as verdict`
    return { reason: 'InvalidFeedback', field: 'eventId', message }
  }

  return {
    async assigned() {},
    async batch(batch: RecordBatch) {
      // Java's partitioner is what a producer takes by default.
      const partitions = source.partitioner === 'Murmur2' ? 0 : (await admin.topicOffsets(source.topic)).size
      const produced: OutgoingRecord[] = []
      for (const record of batch.records) {
        const outcome = await moved(record)
        if ('topic' in outcome) {
          const partition = partitions === 0 ? undefined : partitionOf(outcome.key!, partitions, source.partitioner)
          produced.push({ ...outcome, partition })
          continue
        }
        const { topic, partition } = batch
        const cause = { ...outcome, topic, partition, offset: record.offset }
        const { key, value } = record
        produced.push({ topic: topics.deadLetterTopic, key, value, headers: deadLetterHeaders(record.headers, cause) })
      }
      return produced
    },
    committed() {},
    dropped() {},
    async releasing() {},
    revoked() {},
  }
}
