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
  /** Tells what became of the records, however long that takes; what is not under way after `startMs` is never sent. */
  deliver(records: readonly OutgoingRecord[], options: { readonly startMs: number }): Promise<Delivery>
  /** What is under way is waited for, but no longer than some seconds. */
  close(): Promise<void>
}

/** Sent: once, and acknowledged. NotSent: nothing of it. Unknown: all, part or nothing of it arrived. */
export type Delivery =
  | { readonly outcome: 'Sent' }
  | { readonly outcome: 'NotSent' | 'Unknown'; readonly error: unknown }

interface Waiting {
  readonly records: readonly OutgoingRecord[]
  readonly bytes: number
  /** Withdrawn: it is never sent. */
  state: 'New' | 'UnderWay' | 'Withdrawn'
  readonly settle: (delivery: Delivery) => void
}

const maxSendBytes = 768 * 1024
const closeMs = 5000
/** The same records under the same numbers, so that they arrive once: half a minute while brokers are away. */
const resending = { ...connecting, retries: 30 }

/**
 * An idempotent producer, acknowledged by all replicas. What arrives while a request is under way goes together with the
 * next one. After a failure the next send starts with a new producer: nobody knows which number the broker expects next.
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
      retry: resending,
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
      try {
        producer ??= await connect()
      } catch (thrown) {
        const error = kafkaErrorOf(thrown, 'connect to Kafka')
        for (const { settle } of waiting.splice(0)) settle({ outcome: 'NotSent', error })
        break
      }
      let bytes = 0
      let count = 0
      while (count < waiting.length && (count === 0 || bytes + waiting[count]!.bytes <= maxSendBytes)) {
        bytes += waiting[count++]!.bytes
      }
      const batch = waiting.slice(0, count)
      waiting = waiting.slice(count)
      if (count === 0) break
      for (const one of batch) one.state = 'UnderWay'
      try {
        await producer.sendBatch({ acks: -1, topicMessages: byTopic(batch.flatMap(({ records }) => records)) })
        for (const { settle } of batch) settle({ outcome: 'Sent' })
      } catch (thrown) {
        producer.disconnect().catch(() => {})
        producer = undefined
        const error = kafkaErrorOf(thrown, 'send to Kafka')
        for (const { settle } of batch) settle({ outcome: 'Unknown', error })
      }
    }
    flushing = undefined
  }
  function enqueue(records: readonly OutgoingRecord[]): Waiting & { readonly delivery: Promise<Delivery> } {
    const { promise: delivery, resolve: settle } = Promise.withResolvers<Delivery>()
    const bytes = records.reduce((sum, record) => sum + sizeOf(record), 0)
    const mine = { records, bytes, state: 'New', settle, delivery } as Waiting & { readonly delivery: typeof delivery }
    if (closed) withdraw(mine, new AppError('Unavailable', 'Cannot send to Kafka: the producer is closed'))
    limits.check(records).then(
      () => {
        if (mine.state !== 'New') return
        waiting.push(mine)
        flushing ??= Promise.resolve().then(flush)
      },
      (error) => withdraw(mine, error),
    )
    return mine
  }

  /** Nothing of it is sent, unless it is under way. */
  function withdraw(one: Waiting, error: unknown): void {
    if (one.state !== 'New') return
    one.state = 'Withdrawn'
    waiting = waiting.filter((other) => other !== one)
    one.settle({ outcome: 'NotSent', error })
  }

  return {
    async send(records, { timeoutMs = 10_000 } = {}) {
      const mine = enqueue(records)
      const message = `Cannot send to Kafka: no answer in ${timeoutMs} ms`
      const delivered = await within(timeoutMs, mine.delivery, message).finally(() => withdraw(mine, undefined))
      if (delivered.outcome !== 'Sent') throw delivered.error
    },
    deliver(records, { startMs }) {
      const mine = enqueue(records)
      const message = `Cannot send to Kafka: nothing was sent in ${Math.round(startMs)} ms`
      const timer = setTimeout(() => withdraw(mine, new AppError('DeadlineExceeded', message)), startMs)
      return mine.delivery.finally(() => clearTimeout(timer))
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
