import { decompress } from './codecs.ts'
import { type FetchBudget, type RecordSet, readRecordSet, wholeBatches } from './record-set.ts'
import type { KafkaRecord } from './records.ts'

/** What kafkajs gives to its decoder: the bytes of a reply and where it stands in them. */
export interface Decoder {
  readonly buffer: Buffer
  offset: number
}

/** The records of a partition as they stand in a reply. */
type Fetched = { readonly bytes: Buffer } | { readonly legacy: readonly KafkaRecord[] }

interface LegacyMessage {
  readonly offset: string
  readonly timestamp?: string
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** kafkajs' Broker, as far as it fetches. */
export interface FetchingBroker {
  fetch(request: FetchRequest): Promise<FetchReply>
}
interface FetchRequest {
  readonly topics: readonly { readonly topic: string; readonly partitions: readonly PartitionRequest[] }[]
}
interface PartitionRequest {
  readonly partition: number
  readonly fetchOffset: string
  readonly maxBytes: number
}
interface FetchReply {
  readonly responses: readonly { readonly topicName: string; readonly partitions: PartitionReply[] }[]
}
interface PartitionReply {
  readonly partition: number
  readonly highWatermark: string
  readonly lastStableOffset?: string
  readonly abortedTransactions?: readonly { readonly producerId: string; readonly firstOffset: string }[] | null
  messages: Fetched | RecordSet
}

/** How much decompressed data one reply may bring, beside the batch that exceeds it. */
const decompressedBytes = 32 * 1024 * 1024
/** No fetch asks for more of a partition. */
const mostFetchBytes = 32 * 1024 * 1024
/** A batch whose checksum is wrong is fetched so often before it counts as damaged in the log. */
const damagedFetches = 3

/** What is remembered of a partition that did not give what it should. */
interface Trouble {
  maxBytes?: number
  damaged?: { readonly offset: string; times: number }
}

/**
 * Wraps kafkajs' decoder of the records in a reply: their bytes are checked for their lengths only, and read when it is
 * known what was aborted. Message sets of before Kafka 0.11 are left to the stock decoder.
 */
export function withRawRecords(
  stock: (decoder: Decoder) => Promise<readonly LegacyMessage[]>,
): (decoder: Decoder) => Promise<Fetched> {
  return async (decoder) => {
    const { buffer, offset } = decoder
    const size = buffer.readInt32BE(offset)
    const from = offset + 4
    if (size > buffer.length - from)
      throw new RangeError(`${size} bytes of records in a reply of ${buffer.length} bytes`)
    const magic = size > 16 ? buffer[from + 16]! : 2
    if (magic < 2) return { legacy: (await stock(decoder)).map(recordOf) }
    const end = from + Math.max(0, size)
    decoder.offset = end
    const bytes = buffer.subarray(from, end)
    return { bytes: bytes.subarray(0, wholeBatches(bytes)) }
  }
}

function recordOf({ offset, timestamp, key, value }: LegacyMessage): KafkaRecord {
  return { offset: Number(offset), timestamp: Number(timestamp ?? -1), key, value, headers: {} }
}

/**
 * Wraps kafkajs' fetch: reads the records of each partition, asks for more of one where what was fetched holds no whole
 * batch, and fetches a damaged batch again before it gives its records as unreadable.
 */
export function readingRecords(stock: FetchingBroker['fetch']): FetchingBroker['fetch'] {
  const troubles = new WeakMap<FetchingBroker, Map<string, Trouble>>()
  return async function (this: FetchingBroker, request) {
    let known = troubles.get(this)
    if (known === undefined) {
      known = new Map()
      troubles.set(this, known)
    }
    const reply = await stock.call(this, known.size === 0 ? request : enlarged(request, known))
    const budget = { bytes: decompressedBytes }
    for (const { topicName, partitions } of reply.responses) {
      const asked = request.topics.filter(({ topic }) => topic === topicName).flatMap(({ partitions }) => partitions)
      for (const one of partitions) {
        const of = asked.find(({ partition }) => partition === one.partition)!
        one.messages = await readPartition(one, of, { budget, known, name: `${topicName}-${one.partition}` })
      }
    }
    return reply
  }
}

function enlarged(request: FetchRequest, known: ReadonlyMap<string, Trouble>): FetchRequest {
  const topics = request.topics.map(({ topic, partitions }) => ({
    topic,
    partitions: partitions.map((one) => ({
      ...one,
      maxBytes: known.get(`${topic}-${one.partition}`)?.maxBytes ?? one.maxBytes,
    })),
  }))
  return { ...request, topics }
}

async function readPartition(
  reply: PartitionReply,
  { fetchOffset, maxBytes }: PartitionRequest,
  {
    budget,
    known,
    name,
  }: { readonly budget: FetchBudget; readonly known: Map<string, Trouble>; readonly name: string },
): Promise<RecordSet> {
  const fetched = reply.messages as Fetched
  if ('legacy' in fetched) return recordSetOf(fetched.legacy, Number(fetchOffset))
  const endOffset = Number(reply.highWatermark)
  const trouble = known.get(name)
  if (fetched.bytes.length === 0) {
    if (Number(fetchOffset) < Number(reply.lastStableOffset ?? reply.highWatermark)) {
      known.set(name, { ...trouble, maxBytes: Math.min(mostFetchBytes, 2 * (trouble?.maxBytes ?? maxBytes)) })
    }
    return { records: [], nextOffset: Number(fetchOffset), isDamaged: false }
  }
  const times = trouble?.damaged?.offset === fetchOffset ? trouble.damaged.times : 0
  const set = await readRecordSet(fetched.bytes, {
    fetchOffset: Number(fetchOffset),
    endOffset,
    aborted: (reply.abortedTransactions ?? []).map(({ producerId, firstOffset }) => {
      return { producerId: BigInt(producerId), firstOffset: Number(firstOffset) }
    }),
    budget,
    decompress,
    takesDamaged: times >= damagedFetches,
  })
  if (set.isDamaged) known.set(name, { damaged: { offset: fetchOffset, times: times + 1 } })
  else if (trouble !== undefined) known.delete(name)
  return set
}

function recordSetOf(all: readonly KafkaRecord[], fetchOffset: number): RecordSet {
  const records = all.filter(({ offset }) => offset >= fetchOffset)
  return { records, nextOffset: Math.max(fetchOffset, (records.at(-1)?.offset ?? -1) + 1), isDamaged: false }
}
