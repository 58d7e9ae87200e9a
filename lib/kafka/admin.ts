import type * as Kafkajs from 'kafkajs'
import { sleep, within } from '../time.ts'
import { clientOf, connecting, type KafkaSettings, onCluster } from './client.ts'
import { kafkaErrorOf } from './errors.ts'
import { retryPassing } from './retry-passing.ts'
import type { IdentifiedTopic } from './topic-ids.ts'

export interface Offsets {
  readonly low: number
  readonly high: number
}

export interface Commit {
  /** Next offset that the group will read. */
  readonly offset: number
  /** What was kept with it; empty where nothing was. */
  readonly metadata: string
}

export interface KafkaAdmin {
  /** Creates those of the topics that are missing, with the broker's replication factor. Gives their names. */
  createMissingTopics(topics: readonly { readonly topic: string; readonly partitions: number }[]): Promise<string[]>
  /** First and next offset of each partition. */
  topicOffsets(topic: string): Promise<ReadonlyMap<number, Offsets>>
  /** What the group has committed; partitions without anything are left out. */
  committedOffsets(groupId: string, topic: string): Promise<ReadonlyMap<number, Commit>>
  /** Another one after the topic was deleted and made anew; undefined where the broker knows no ids, before Kafka 3.1. */
  topicId(topic: string): Promise<string | undefined>
  /**
   * Records that the group has not read, by partition. Of a partition without a committed offset these are all of them;
   * none where the group has committed nothing yet and is about to start from the end (`Latest`).
   */
  lag(groupId: string, topic: string, startFrom?: 'Earliest' | 'Latest'): Promise<ReadonlyMap<number, number>>
  close(): void
}

/** What kafkajs' admin leaves out of the metadata. */
interface MetadataCluster {
  metadata(of: { readonly topics: readonly string[] }): Promise<{ readonly topicMetadata: readonly IdentifiedTopic[] }>
}

const comesWithTime = new Set(['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE'])

/** Connects at the first call and again after a failure. Each call fails with `DeadlineExceeded` after `timeoutMs`. */
export function openAdmin(
  settings: KafkaSettings,
  options: { readonly timeoutMs?: number | undefined } = {},
): KafkaAdmin {
  const { timeoutMs = 15_000 } = options
  const kafka = clientOf(settings, connecting)
  let cluster: MetadataCluster | undefined
  onCluster(kafka, (made) => {
    cluster = made as MetadataCluster
  })
  let connected: Promise<Kafkajs.Admin> | undefined
  const discard = (): void => {
    const former = connected
    connected = undefined
    former?.then((admin) => admin.disconnect()).catch(() => {})
  }
  const connect = async (): Promise<Kafkajs.Admin> => {
    const admin = kafka.admin({ retry: connecting })
    try {
      await admin.connect()
    } catch (error) {
      admin.disconnect().catch(() => {})
      throw error
    }
    return admin
  }
  const attempt = async <T>(call: (admin: Kafkajs.Admin) => Promise<T>): Promise<T> => {
    connected ??= connect()
    try {
      return await call(await connected)
    } catch (error) {
      discard()
      throw error
    }
  }
  const use = async <T>(what: string, call: (admin: Kafkajs.Admin) => Promise<T>): Promise<T> => {
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      const work = retryPassing(() => attempt(call), { signal })
      return await within(timeoutMs, work, `Cannot ${what}: no answer from ${settings.brokers.join(',')}`)
    } catch (error) {
      throw kafkaErrorOf(error, what)
    }
  }
  /** kafkajs' own waiting takes a topic that a broker has not heard of yet for one that does not exist. */
  async function untilLed(topics: readonly string[]): Promise<void> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      try {
        return void (await cluster!.metadata({ topics }))
      } catch (error) {
        if (!comesWithTime.has((error as { type?: string }).type ?? '') || performance.now() > deadline) throw error
        await sleep(50)
      }
    }
  }
  const admin: KafkaAdmin = {
    createMissingTopics: (topics) =>
      use('create topics', async (client) => {
        const existing = new Set(await client.listTopics())
        const missing = topics.filter(({ topic }) => !existing.has(topic))
        if (missing.length > 0) {
          await client.createTopics({
            topics: missing.map(({ topic, partitions }) => ({ topic, numPartitions: partitions })),
            waitForLeaders: false,
          })
          await untilLed(missing.map(({ topic }) => topic))
        }
        return missing.map(({ topic }) => topic)
      }),
    topicOffsets: (topic) =>
      use(`read the offsets of ${topic}`, async (client) => {
        const offsets = await client.fetchTopicOffsets(topic)
        return new Map(offsets.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]))
      }),
    committedOffsets: (groupId, topic) =>
      use(`read the offsets of group ${groupId}`, async (client) => {
        const topics = await client.fetchOffsets({ groupId, topics: [topic] })
        const committed = topics.flatMap(({ partitions }) => partitions.filter(({ offset }) => Number(offset) >= 0))
        return new Map(
          committed.map(({ partition, offset, metadata }) => [
            partition,
            { offset: Number(offset), metadata: metadata ?? '' },
          ]),
        )
      }),
    lag: async (groupId, topic, startFrom = 'Earliest') => {
      const [ends, committed] = await Promise.all([admin.topicOffsets(topic), admin.committedOffsets(groupId, topic)])
      const isNew = committed.size === 0 && startFrom === 'Latest'
      return new Map(
        Array.from(ends, ([partition, { low, high }]) => [
          partition,
          Math.max(0, high - Math.max(low, committed.get(partition)?.offset ?? (isNew ? high : low))),
        ]),
      )
    },
    topicId: (topic) =>
      use(`read the id of ${topic}`, async () => {
        const { topicMetadata } = await cluster!.metadata({ topics: [topic] })
        return topicMetadata.find((one) => one.topic === topic)?.topicId
      }),
    close: discard,
  }
  return admin
}
