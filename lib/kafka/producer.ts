import type * as Kafkajs from 'kafkajs'
import { AppError } from '../errors.ts'
import { within } from '../time.ts'
import { clientOf, connecting, type KafkaSettings } from './client.ts'
import { kafkaErrorOf } from './errors.ts'
import { byTopic, placing } from './outgoing.ts'
import { type OutgoingRecord, sizeOf } from './records.ts'
import { TopicLimits } from './topic-limits.ts'

export interface KafkaProducer {
  /**
   * Resolves when every replica in sync has the records. Rejects with `Unavailable`, or `DeadlineExceeded` after
   * `timeoutMs`: then what was not under way yet is never sent, the rest may have arrived, in part or as a whole. Where
   * a record is larger than its topic takes it is a `KafkaError` that is `TooLarge`, and nothing was sent.
   */
  send(records: readonly OutgoingRecord[], options?: { readonly timeoutMs?: number | undefined }): Promise<void>
  /** What is under way is waited for, but no longer than some seconds. */
  close(): Promise<void>
}

interface Waiting {
  readonly records: readonly OutgoingRecord[]
  readonly bytes: number
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

const maxSendBytes = 768 * 1024
const closeMs = 5000

/**
 * An idempotent producer, acknowledged by all replicas. What arrives while a request is under way goes together with the
 * next one. After a failure the next send starts with a new producer: kafkajs reuses the sequence numbers of a failed
 * send, and the broker would take other records under the same numbers for a repetition.
 */
export async function connectProducer(settings: KafkaSettings): Promise<KafkaProducer> {
  const kafka = clientOf(settings, connecting)
  const limits = new TopicLimits(kafka)
  const connect = async (): Promise<Kafkajs.Producer> => {
    const producer = kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      metadataMaxAge: 30_000,
      createPartitioner: placing(),
    })
    try {
      await producer.connect()
    } catch (error) {
      producer.disconnect().catch(() => {})
      throw error
    }
    return producer
  }

  let producer: Kafkajs.Producer | undefined = await connect()
  let waiting: Waiting[] = []
  let flushing: Promise<void> | undefined
  let closed = false

  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      let bytes = 0
      let count = 0
      while (count < waiting.length && (count === 0 || bytes + waiting[count]!.bytes <= maxSendBytes)) {
        bytes += waiting[count++]!.bytes
      }
      const batch = waiting.slice(0, count)
      waiting = waiting.slice(count)
      try {
        producer ??= await connect()
        await producer.sendBatch({ acks: -1, topicMessages: byTopic(batch.flatMap(({ records }) => records)) })
        for (const { done } of batch) done()
      } catch (error) {
        const former = producer
        producer = undefined
        former?.disconnect().catch(() => {})
        const failure = kafkaErrorOf(error, 'send to Kafka')
        for (const { failed } of batch) failed(failure)
      }
    }
    flushing = undefined
  }
  return {
    send: (records, { timeoutMs = 10_000 } = {}) => {
      if (closed) return Promise.reject(new AppError('Unavailable', 'Cannot send to Kafka: the producer is closed'))
      const { promise: sent, resolve: done, reject: failed } = Promise.withResolvers<void>()
      const mine = { records, bytes: records.reduce((sum, record) => sum + sizeOf(record), 0), done, failed }
      let isOver = false
      const work = limits.check(records).then(() => {
        if (isOver) return
        waiting.push(mine)
        flushing ??= Promise.resolve().then(flush)
        return sent
      })
      return within(timeoutMs, work, `Cannot send to Kafka: no answer in ${timeoutMs} ms`).finally(() => {
        isOver = true
        waiting = waiting.filter((one) => one !== mine)
      })
    },
    close: async () => {
      closed = true
      const ended = (flushing ?? Promise.resolve()).then(() => producer?.disconnect())
      await within(closeMs, ended, 'Kafka does not answer').catch((error) =>
        settings.log.debug({ error }, 'not closed'),
      )
    },
  }
}
