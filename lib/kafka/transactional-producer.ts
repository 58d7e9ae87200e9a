import type * as Kafkajs from 'kafkajs'
import { within } from '../time.ts'
import { clientOf, connecting, type KafkaSettings } from './client.ts'
import type { Membership } from './consumer-group-hooks.ts'
import { kafkaErrorOf } from './errors.ts'
import { byTopic, placing } from './outgoing.ts'
import type { OutgoingRecord, TopicPartition } from './records.ts'
import { retryPassing } from './retry-passing.ts'
import { TopicLimits } from './topic-limits.ts'
import type { TransactionOffsets } from './txn-offset-commit.ts'

/** After it the broker aborts a transaction by itself. */
const transactionMs = 30_000
/** The broker answers CONCURRENT_TRANSACTIONS for a few milliseconds after a commit. */
const transacting: Kafkajs.RetryOptions = { initialRetryTime: 5, maxRetryTime: 500, retries: 9 }

/** A producer that fenced all earlier ones of its id: what they had left open is ended. */
export interface TransactionalProducer {
  /** This and each step of the transaction fails with a `KafkaError`, or `DeadlineExceeded` where the broker does not answer. */
  begin(): Promise<Transaction>
  /**
   * A request of it was not answered, and may reach the broker within a later transaction: no other one must begin until
   * a new producer of the id has fenced this one.
   */
  readonly isSpent: boolean
  /** Lets go in the background: a producer that is stuck does not hold anything up. */
  discard(): void
}

export interface CommittedOffset extends TopicPartition {
  readonly offset: number
  /** What is kept with it. */
  readonly metadata?: string | undefined
}

export interface Transaction {
  /** One request a leader: bound what one call holds. A record that its topic does not take is not sent at all. */
  send(records: readonly OutgoingRecord[]): Promise<void>
  /**
   * After the last `send`. `offset` is the next one to read. With a membership, the group's coordinator refuses them from
   * a member of another generation.
   */
  sendOffsets(
    groupId: string,
    offsets: readonly CommittedOffset[],
    options?: { readonly membership?: Membership | undefined },
  ): Promise<void>
  /** When it throws, it may have committed all the same; the producer is of no more use. */
  commit(): Promise<void>
}

/** Connects and initialises: resolves when the predecessors of `transactionalId` are fenced. */
export type OpenProducer = (transactionalId: string) => Promise<TransactionalProducer>

/** The producers of one process: they share settings, not connections. */
export function transactionalProducers(
  settings: KafkaSettings,
  options: { readonly timeoutMs?: number | undefined } = {},
): OpenProducer {
  const { timeoutMs = transactionMs } = options
  const kafka = clientOf(settings, { ...connecting, ...transacting })
  const limits = new TopicLimits(kafka)
  /** kafkajs repeats each request for more than a minute; what it does after the deadline, the next producer fences. */
  const timely = async <T>(what: string, work: Promise<T>): Promise<T> => {
    const late = `Cannot ${what}: no answer from ${settings.brokers.join(',')} in ${timeoutMs} ms`
    try {
      return await within(timeoutMs, work, late)
    } catch (error) {
      throw kafkaErrorOf(error, what)
    }
  }
  return async (transactionalId) => {
    const producer = kafka.producer({
      transactionalId,
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      metadataMaxAge: 30_000,
      transactionTimeout: transactionMs,
      createPartitioner: placing(),
    })
    const discard = (): void => void producer.disconnect().catch(() => {})
    try {
      // kafkajs initialises in its first transaction only; begun here, it costs the broker nothing until used
      const initialised = producer.connect().then(() => producer.transaction())
      let next: Kafkajs.Transaction | undefined = await timely('initialise a producer', initialised)
      let isSpent = false
      const begin = async (): Promise<Transaction> => {
        const transaction = next ?? (await timely('begin a transaction', producer.transaction()))
        next = undefined
        return {
          send: async (records) => {
            await limits.check(records)
            await timely('send', transaction.sendBatch({ topicMessages: byTopic(records), acks: -1 }))
          },
          sendOffsets: async (groupId, offsets, { membership } = {}) => {
            const topics: TransactionOffsets = offsets.map(({ topic, partition, offset, metadata }) => ({
              topic,
              partitions: [{ partition, offset: String(offset), metadata }],
            }))
            topics.membership = membership
            const send = () =>
              transaction.sendOffsets({ consumerGroupId: groupId, topics: topics as Kafkajs.TopicOffsets[] })
            await timely('send offsets', retryPassing(send))
            isSpent ||= topics.attempts !== undefined && topics.attempts > 1
          },
          commit: () => timely('commit', transaction.commit()),
        }
      }
      return {
        begin,
        discard,
        get isSpent() {
          return isSpent
        },
      }
    } catch (error) {
      discard()
      throw error
    }
  }
}
