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
    topics: readonly ({ topic: string; partitions: { partition: number }[] } & Edge)[],
  ): Promise<readonly { readonly partitions: readonly { readonly offset: string }[] }[]>
}

type Edge = { readonly fromBeginning: boolean } | { readonly fromTimestamp: number }

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
  const of = { topic, partition }
  try {
    const found = await connectTo(cluster, topic)
    if (found?.partitionMetadata.every(({ partitionId }) => partitionId !== partition)) return
    const isOther = topicId !== undefined && found?.topicId !== undefined && found.topicId !== topicId
    const [low, logEnd] = await Promise.all([
      edgeOf(cluster, of, { fromBeginning: true }),
      edgeOf(cluster, of, { fromBeginning: false }),
    ])
    // Before Kafka 3.1 only the end tells of a topic that was made anew.
    const next = isOther || offset > logEnd ? low : Math.max(low, offset)
    // What was committed beyond the end is of another topic of that name.
    if (until !== undefined && until > logEnd) return
    const isolation = until === undefined ? readUncommitted : readCommitted
    await readRange(cluster, of, [next, until ?? logEnd], isolation, onRecord)
  } catch (error) {
    throw kafkaErrorOf(error, `read ${topic}-${partition} from ${offset}`)
  } finally {
    await cluster.disconnect().catch(() => {})
  }
}

/** The committed record at an offset; undefined where none is, or none any more. @throws AppError Unavailable */
export async function readRecord(
  settings: KafkaSettings,
  place: TopicPartition & { readonly offset: number },
): Promise<KafkaRecord | undefined> {
  let found: KafkaRecord | undefined
  await readPartition(settings, { ...place, until: place.offset + 1 }, (record) => {
    found = record
  })
  return found
}

export interface LastRecords {
  readonly topic: string
  /** Records of an earlier time, in ms since 1970, are left out. */
  readonly since: number
  /** Records of each partition that are read at most. */
  readonly most: number
}

const chunk = 10_000

/**
 * The last records of each partition of a topic, whether their transactions are committed or not, in chunks from the last
 * one back, until `onChunk` answers that it needs no more. It joins no group.
 * @throws AppError Unavailable
 */
export async function readLast(
  settings: KafkaSettings,
  { topic, since, most }: LastRecords,
  onChunk: (partition: number, records: readonly KafkaRecord[]) => boolean,
): Promise<void> {
  const cluster = clusterOf(settings)
  try {
    const found = await connectTo(cluster, topic)
    const partitions = (found?.partitionMetadata ?? []).map(({ partitionId }) => partitionId)
    const left = new Map<number, { readonly low: number; end: number }>()
    for (const partition of partitions) {
      const of = { topic, partition }
      const end = await edgeOf(cluster, of, { fromBeginning: false })
      const first = await edgeOf(cluster, of, { fromTimestamp: since })
      if (first >= 0 && first < end) left.set(partition, { low: Math.max(first, end - most), end })
    }
    while (left.size > 0) {
      for (const [partition, range] of left) {
        const from = Math.max(range.low, range.end - chunk)
        const records: KafkaRecord[] = []
        const add = (record: KafkaRecord): void => void records.push(record)
        await readRange(cluster, { topic, partition }, [from, range.end], readUncommitted, add)
        if (onChunk(partition, records)) return
        range.end = from
        if (from === range.low) left.delete(partition)
      }
    }
  } catch (error) {
    throw kafkaErrorOf(error, `read the end of ${topic}`)
  } finally {
    await cluster.disconnect().catch(() => {})
  }
}

async function connectTo(cluster: Cluster, topic: string): Promise<FoundTopic | undefined> {
  await cluster.connect()
  await cluster.addTargetTopic(topic)
  const { topicMetadata } = await cluster.metadata({ topics: [topic] })
  return topicMetadata.find((one) => one.topic === topic)
}

async function edgeOf(cluster: Cluster, { topic, partition }: TopicPartition, edge: Edge): Promise<number> {
  const [found] = await cluster.fetchTopicsOffset([{ topic, partitions: [{ partition }], ...edge }])
  return Number(found!.partitions[0]!.offset)
}

/** Records from the first offset to, not with, the last one. */
async function readRange(
  cluster: Cluster,
  { topic, partition }: TopicPartition,
  [first, last]: readonly [number, number],
  isolationLevel: number,
  onRecord: (record: KafkaRecord) => void,
): Promise<void> {
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
  const broker = await cluster.findBroker({ nodeId: nodeId! })
  // At least one batch comes whole, however little is asked for.
  const most = last - first === 1 ? 1 : maxBytes
  let next = first
  let empty = 0
  while (next < last) {
    const { responses } = await broker.fetch({
      replicaId: -1,
      isolationLevel,
      maxWaitTime: 100,
      maxBytes: most,
      topics: [{ topic, partitions: [{ partition, fetchOffset: String(next), maxBytes: most }] }],
    })
    const fetched = responses[0]?.partitions[0]?.messages
    for (const record of fetched?.records ?? []) if (record.offset >= next && record.offset < last) onRecord(record)
    if (fetched !== undefined && fetched.nextOffset > next) {
      next = fetched.nextOffset
      empty = 0
    } else if (fetched?.problem !== undefined) throw new Error(fetched.problem)
    else if (++empty > emptyFetches) throw new Error(`nothing comes from offset ${next}, and records go on to ${last}`)
  }
}

function clusterOf(settings: KafkaSettings): Cluster {
  const kafka = clientOf(settings, connecting) as Kafkajs.Kafka & Record<symbol, (options: object) => Cluster>
  const name = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === createCluster)!
  return kafka[name]!({ isolationLevel: readUncommitted, metadataMaxAge: 30_000, maxInFlightRequests: null })
}

const createCluster = 'private:Kafka:createCluster'
