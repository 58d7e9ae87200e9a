import { AppError, messageOf } from '../../lib/errors.ts'
import type { KafkaProducer } from '../../lib/kafka/producer.ts'
import type { OutgoingRecord } from '../../lib/kafka/records.ts'
import type { Part } from '../../lib/lifecycle.ts'
import { within } from '../../lib/time.ts'

export interface EventPublisher extends Part {
  /**
   * Resolves when the broker has acknowledged the records.
   * @throws AppError Unavailable or DeadlineExceeded; some of the records may have arrived
   */
  send(records: readonly OutgoingRecord[], timeoutMs: number): Promise<void>
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
    async send(records, timeoutMs) {
      const began = performance.now()
      const open = producer ?? (await connected(timeoutMs))
      await open.send(records, { timeoutMs: Math.max(1, timeoutMs - (performance.now() - began)) })
    },
    async stop() {
      isOver = true
      await producer?.close()
    },
  }
}
