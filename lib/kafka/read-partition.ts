import type * as Kafkajs from 'kafkajs'
import { clientOf, connecting, type KafkaSettings } from './client.ts'
import { kafkaErrorOf } from './errors.ts'
import type { RecordSet } from './record-set.ts'
import type { KafkaRecord, TopicPartition } from './records.ts'
import type { IdentifiedTopic } from './topic-ids.ts'

interface FoundTopic extends IdentifiedTopic {
  readonly partitionMetadata: readonly { readonly partitionId: number }[]
}

/** What is used of what kafkajs keeps to itself: its consumers read only as members of a group. */
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addTargetTopic(topic: string): Promise<void>
  metadata(of: { readonly topics: readonly string[] }): Promise<{ readonly topicMetadata: readonly FoundTopic[] }>
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Readonly<Record<string, readonly number[]>>
  findBroker(broker: { readonly nodeId: string }): Promise<Broker>
  fetchTopicsOffset(
    topics: readonly { topic: string; partitions: { partition: number }[]; fromBeginning: boolean }[],
  ): Promise<readonly { readonly partitions: readonly { readonly offset: string }[] }[]>
}

interface Broker {
  fetch(request: object): Promise<{
    readonly responses: readonly { readonly partitions: readonly FetchedPartition[] }[]
  }>
}

/** As `readingRecords` leaves it. */
interface FetchedPartition {
  readonly messages: RecordSet
}

const maxBytes = 4 * 2 ** 20
const readUncommitted = 0
const readCommitted = 1
/** Fetches in a row that may bring nothing: one that held no whole batch asks for more next time. */
const emptyFetches = 20

export interface ReadFrom extends TopicPartition {
  readonly offset: number
  /** Of the topic that the offset is of: another one of that name is read from its begin. */
  readonly topicId?: string | undefined
  /** Up to, not with, this offset, and then only what is committed: a reader of committed records has come so far. */
  readonly until?: number | undefined
}

/**
 * The records of one partition from an offset to where it ends now, in order, whether their transactions are committed
 * or not; or to a given offset, only what is committed. None of a partition that the topic does not have. It joins no
 * group.
 * @throws AppError Unavailable
 */
export async function readPartition(
  settings: KafkaSettings,
  { topic, partition, offset, topicId, until }: ReadFrom,
  onRecord: (record: KafkaRecord) => void,
): Promise<void> {
  const cluster = clusterOf(settings)
  const edge = async (fromBeginning: boolean): Promise<number> => {
    const [found] = await cluster.fetchTopicsOffset([{ topic, partitions: [{ partition }], fromBeginning }])
    return Number(found!.partitions[0]!.offset)
  }
  try {
    await cluster.connect()
    await cluster.addTargetTopic(topic)
    const { topicMetadata } = await cluster.metadata({ topics: [topic] })
    const found = topicMetadata.find((one) => one.topic === topic)
    if (found?.partitionMetadata.every(({ partitionId }) => partitionId !== partition)) return
    const isOther = topicId !== undefined && found?.topicId !== undefined && found.topicId !== topicId
    const [low, high] = await Promise.all([edge(true), edge(false)])
    // Before Kafka 3.1 only the end tells of a topic that was made anew.
    let next = isOther || offset > high ? low : Math.max(low, offset)
    const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
    const broker = await cluster.findBroker({ nodeId: nodeId! })
    const end = until ?? high
    // What was committed beyond the end is of another topic of that name.
    if (end > high) return
    let empty = 0
    while (next < end) {
      const { responses } = await broker.fetch({
        replicaId: -1,
        isolationLevel: until === undefined ? readUncommitted : readCommitted,
        maxWaitTime: 100,
        maxBytes,
        topics: [{ topic, partitions: [{ partition, fetchOffset: String(next), maxBytes }] }],
      })
      const fetched = responses[0]?.partitions[0]?.messages
      for (const record of fetched?.records ?? []) if (record.offset >= next && record.offset < end) onRecord(record)
      if (fetched !== undefined && fetched.nextOffset > next) {
        next = fetched.nextOffset
        empty = 0
      } else if (fetched?.problem !== undefined) throw new Error(fetched.problem)
      else if (++empty > emptyFetches) throw new Error(`nothing comes from offset ${next}, and the log ends at ${high}`)
    }
  } catch (error) {
    throw kafkaErrorOf(error, `read ${topic}-${partition} from ${offset}`)
  } finally {
    await cluster.disconnect().catch(() => {})
  }
}

function clusterOf(settings: KafkaSettings): Cluster {
  const kafka = clientOf(settings, connecting) as Kafkajs.Kafka & Record<symbol, (options: object) => Cluster>
  const name = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === createCluster)!
  return kafka[name]!({ isolationLevel: readUncommitted, metadataMaxAge: 30_000, maxInFlightRequests: null })
}

const createCluster = 'private:Kafka:createCluster'
