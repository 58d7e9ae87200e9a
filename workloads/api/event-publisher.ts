import { AppError, messageOf } from '../../lib/errors.ts'
import type { Delivery, KafkaProducer } from '../../lib/kafka/producer.ts'
import type { OutgoingRecord } from '../../lib/kafka/records.ts'
import type { Part } from '../../lib/lifecycle.ts'
import { within } from '../../lib/time.ts'

export interface EventPublisher extends Part {
  /** As a producer's `deliver`: NotSent where there is no connection in time. Never rejects. */
  deliver(records: readonly OutgoingRecord[], options: { readonly startMs: number }): Promise<Delivery>
}

/** A producer that is connected in the background, and again with the next records after it could not be. */
export function createEventPublisher(connect: () => Promise<KafkaProducer>): EventPublisher {
  let producer: KafkaProducer | undefined
  let connecting: Promise<KafkaProducer> | undefined
  let isOver = false

  async function open(): Promise<KafkaProducer> {
    try {
      const opened = await connect()
      if (isOver) opened.close().catch(() => {})
      producer = opened
      return opened
    } catch (error) {
      throw new AppError('Unavailable', `Cannot connect to Kafka: ${messageOf(error)}`, { cause: error })
    } finally {
      connecting = undefined
    }
  }

  async function connected(timeoutMs: number): Promise<KafkaProducer> {
    connecting ??= open()
    return within(timeoutMs, connecting, `Cannot connect to Kafka: no answer in ${timeoutMs} ms`)
  }

  return {
    name: 'event publisher',
    start() {
      connecting = open()
      connecting.catch(() => {})
    },
    async deliver(records, { startMs }) {
      const began = performance.now()
      try {
        producer ??= await connected(startMs)
      } catch (error) {
        return { outcome: 'NotSent', error }
      }
      return producer.deliver(records, { startMs: Math.max(1, startMs - (performance.now() - began)) })
    },
    async stop() {
      isOver = true
      await producer?.close()
    },
  }
}
