import type { Batch } from 'kafkajs'
import { clientOf, connecting, type KafkaSettings } from './client.ts'
import { type GroupEvents, groupEvents, type HookedGroup, type Membership } from './consumer-group-hooks.ts'
import { KafkaError, kafkaErrorOf } from './errors.ts'
import type { FetchedBatch } from './fetched-batch.ts'
import { loadKafkajs } from './kafkajs.ts'
import type { KafkaBatch, KafkaRecord, TopicPartition } from './records.ts'

/** What a member of a consumer group is told. */
export interface MemberEvents extends GroupEvents {
  /** After every join; nothing of it is fetched before this returns. */
  joined(partitions: readonly TopicPartition[], membership: Membership | undefined): void
  /** The next records of a partition; throws a `KafkaError` that is `Rejoin` to give everything up and join anew. */
  batch(batch: KafkaBatch, control: BatchControl): Promise<void>
  /** The loop turned. */
  polled(): void
  /** The broker that coordinates the group answered. */
  heard(): void
  /** It will not do anything any more. */
  crashed(error: unknown): void
}

export interface BatchControl {
  /** Offset after everything that this batch covers: beyond its last record where the log has holes. */
  readonly end: number
  /** Throws a `KafkaError` that is `Rejoin` or `Expelled` when the group wants its members back; kafkajs limits the rate. */
  heartbeat(): Promise<void>
  /** The batch is done up to, not with, this offset. */
  resolve(nextOffset: number): void
  /** Someone has called `seek` since it was fetched. */
  isStale(): boolean
  isRunning(): boolean
}

export interface GroupMember {
  seek(of: TopicPartition, offset: number): void
  /** Ends the batches in work, leaves the group, closes the connections. */
  stop(): Promise<void>
}

export interface MemberOptions {
  readonly groupId: string
  readonly topics: readonly string[]
  readonly sessionTimeoutMs: number
  readonly maxBytesPerPartition: number
  readonly maxPartitionsAtOnce: number
  /** How long the broker holds a fetch without records: also how long `stop` may take when idle. */
  readonly maxWaitMs: number
  /** Age of metadata: new partitions are seen after it. */
  readonly metadataMaxAgeMs: number
}

/** Connects and joins the group; commits nothing. */
export async function joinGroup(
  settings: KafkaSettings,
  options: MemberOptions,
  events: MemberEvents,
): Promise<GroupMember> {
  const { PartitionAssigners, isPatched } = loadKafkajs()
  if (!isPatched)
    settings.log.warn({}, 'kafkajs is not of the version known here: it runs as it is, slower and without hand-over')
  const hooked: HookedGroup = { leaving: () => events.leaving(), outOfRange: (of) => events.outOfRange(of) }
  const consumer = clientOf(settings, connecting).consumer({
    groupId: options.groupId,
    sessionTimeout: options.sessionTimeoutMs,
    rebalanceTimeout: options.sessionTimeoutMs + 5000,
    heartbeatInterval: Math.min(1000, options.sessionTimeoutMs / 3),
    metadataMaxAge: options.metadataMaxAgeMs,
    maxBytesPerPartition: options.maxBytesPerPartition,
    minBytes: 1,
    maxWaitTimeInMs: options.maxWaitMs,
    allowAutoTopicCreation: false,
    readUncommitted: false,
    retry: { ...connecting, restartOnFailure: async () => false },
    partitionAssigners: [(config) => Object.assign(PartitionAssigners.roundRobin(config), { [groupEvents]: hooked })],
  })
  let stopped = false
  consumer.on(consumer.events.FETCH_START, () => events.polled())
  consumer.on(consumer.events.HEARTBEAT, () => events.heard())
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!stopped) events.crashed(payload.error)
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    events.joined(
      Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
        partitions.map((partition) => ({ topic, partition })),
      ),
      membershipOf(hooked),
    )
  })
  const stop = async (): Promise<void> => {
    stopped = true
    await consumer.disconnect()
  }
  try {
    await consumer.connect()
    await consumer.subscribe({ topics: [...options.topics], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: options.maxPartitionsAtOnce,
      eachBatch: async (payload) => {
        const { batch } = payload
        const control: BatchControl = {
          end: Number(batch.lastOffset()) + 1,
          heartbeat: () =>
            payload.heartbeat().catch((error) => Promise.reject(kafkaErrorOf(error, 'send a heartbeat'))),
          resolve: (nextOffset) => payload.resolveOffset(String(nextOffset - 1)),
          isStale: payload.isStale,
          isRunning: payload.isRunning,
        }
        await events.batch(recordBatch(batch), control).catch((error) => Promise.reject(asKafkajs(error)))
      },
    })
  } catch (error) {
    stop().catch(() => {})
    throw error
  }
  return {
    seek: ({ topic, partition }, offset) => {
      // thrown when the consumer has just ended: then its successor reads the committed offset
      try {
        consumer.seek({ topic, partition, offset: String(offset) })
      } catch {}
    },
    stop,
  }
}

function membershipOf({ group }: HookedGroup): Membership | undefined {
  const { memberId, generationId } = group ?? {}
  return memberId == null || generationId == null ? undefined : { memberId, generationId }
}

/** kafkajs joins anew on the errors that it knows. */
function asKafkajs(error: unknown): unknown {
  if (!(error instanceof KafkaError)) return error
  if (error.failure === 'Rejoin') return Object.assign(new Error(error.message), { type: 'REBALANCE_IN_PROGRESS' })
  return error.failure === 'Expelled' ? error.cause : error
}

export function recordBatch(batch: Batch): KafkaBatch {
  // what our own decoder gave are records already
  if (!loadKafkajs().isPatched) {
    for (const message of batch.messages as unknown as { offset: unknown; timestamp: unknown }[]) {
      message.offset = Number(message.offset)
      message.timestamp = Number(message.timestamp)
    }
  }
  return {
    topic: batch.topic,
    partition: batch.partition,
    records: batch.messages as unknown as KafkaRecord[],
    highWatermark: Number(batch.highWatermark),
    problem: (batch as Batch & Partial<Pick<FetchedBatch, 'problem'>>).problem,
  }
}
