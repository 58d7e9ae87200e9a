import { sleep } from '../time.ts'
import { decompress } from './codecs.ts'
import { type FetchBudget, type RecordSet, readRecordSet } from './record-set.ts'
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
  readonly maxWaitTime?: number
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
/** What brings nothing, though there is something to read, is fetched so often before it is told. */
const patience = 3
/** What was told is left out of fetches for so long: others go on meanwhile. */
const restMs = 5000

/** What is remembered of a partition from which nothing could be read. */
interface Trouble {
  readonly offset: string
  /** Fetches that brought nothing, though the partition came first in them. */
  readonly times: number
  readonly restsUntil: number
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
    return { bytes: buffer.subarray(from, end) }
  }
}

function recordOf({ offset, timestamp, key, value }: LegacyMessage): KafkaRecord {
  return { offset: Number(offset), timestamp: Number(timestamp ?? -1), key, value, headers: {} }
}

/**
 * Wraps kafkajs' fetch: reads the records of each partition. One from which nothing could be read comes first in the next
 * fetch: so Kafka gives its first batch, even one that is larger than the fetch may be. Where it stays so, a batch that has
 * no more than a wrong checksum is given as unreadable, and of anything else the reply says what is wrong.
 */
export function readingRecords(
  stock: FetchingBroker['fetch'],
  now: () => number = () => performance.now(),
): FetchingBroker['fetch'] {
  const ofBroker = new WeakMap<FetchingBroker, Map<string, Trouble>>()
  return async function (this: FetchingBroker, request) {
    let troubles = ofBroker.get(this)
    if (troubles === undefined) {
      troubles = new Map()
      ofBroker.set(this, troubles)
    }
    const arranged = troubles.size === 0 ? request : arrange(request, troubles, now())
    if (arranged.topics.length === 0) {
      await sleep(request.maxWaitTime ?? 0)
      return { responses: [] }
    }
    const reply = await stock.call(this, arranged)
    const first = arranged.topics[0]!.partitions[0]
    const budget = { bytes: decompressedBytes }
    for (const { topicName, partitions } of reply.responses) {
      const asked = arranged.topics.filter(({ topic }) => topic === topicName).flatMap(({ partitions }) => partitions)
      for (const one of partitions) {
        const of = asked.find(({ partition }) => partition === one.partition)!
        const name = `${topicName}-${one.partition}`
        one.messages = await readPartition(one, of, { isFirst: of === first, budget, troubles, name, now: now() })
      }
    }
    return reply
  }
}

/** First comes the partition that was least often first in vain; those that rest are left out. */
function arrange(request: FetchRequest, troubles: ReadonlyMap<string, Trouble>, now: number): FetchRequest {
  const others = Number.MAX_SAFE_INTEGER
  const topics = request.topics.flatMap(({ topic, partitions }) => {
    const ranked = partitions.flatMap((one) => {
      const trouble = troubles.get(`${topic}-${one.partition}`)
      if (trouble?.offset !== one.fetchOffset) return { one, rank: others }
      return trouble.restsUntil > now ? [] : { one, rank: trouble.times }
    })
    if (ranked.length === 0) return []
    ranked.sort((a, b) => a.rank - b.rank)
    return { topic, partitions: ranked.map(({ one }) => one), rank: ranked[0]!.rank }
  })
  return { ...request, topics: topics.sort((a, b) => a.rank - b.rank).map(({ rank: _, ...topic }) => topic) }
}

interface PartitionRead {
  readonly isFirst: boolean
  readonly budget: FetchBudget
  readonly troubles: Map<string, Trouble>
  readonly name: string
  readonly now: number
}

async function readPartition(
  reply: PartitionReply,
  { fetchOffset }: PartitionRequest,
  { isFirst, budget, troubles, name, now }: PartitionRead,
): Promise<RecordSet> {
  const offset = Number(fetchOffset)
  const trouble = troubles.get(name)
  const times = trouble?.offset === fetchOffset ? trouble.times : 0
  const { problem = 'nothing came', ...set } = await recordsOf(reply, offset, {
    budget,
    takesDamaged: times >= patience,
  })
  const stable = Number(reply.lastStableOffset ?? -1)
  if (set.nextOffset > offset || offset >= (stable < 0 ? Number(reply.highWatermark) : stable)) {
    if (trouble !== undefined) troubles.delete(name)
    return set
  }
  const isTold = isFirst && times >= patience
  troubles.set(name, {
    offset: fetchOffset,
    times: isFirst ? times + 1 : times,
    restsUntil: isTold ? now + restMs : now,
  })
  if (!isTold) return set
  const advice = 'Repair the log, or let it begin behind that batch with kafka-delete-records'
  return { ...set, problem: `Cannot read the record batch of ${name} at offset ${offset}: ${problem}. ${advice}` }
}

function recordsOf(
  reply: PartitionReply,
  fetchOffset: number,
  options: { readonly budget: FetchBudget; readonly takesDamaged: boolean },
): Promise<RecordSet> | RecordSet {
  const fetched = reply.messages as Fetched
  const endOffset = Number(reply.highWatermark)
  if ('legacy' in fetched) {
    const records = fetched.legacy.filter(({ offset }) => offset >= fetchOffset && offset < endOffset)
    return { records, nextOffset: Math.max(fetchOffset, (records.at(-1)?.offset ?? -1) + 1) }
  }
  const aborted = (reply.abortedTransactions ?? []).map(({ producerId, firstOffset }) => {
    return { producerId: BigInt(producerId), firstOffset: Number(firstOffset) }
  })
  return readRecordSet(fetched.bytes, { fetchOffset, endOffset, aborted, decompress, ...options })
}
