import { messageOf } from '../errors.ts'
import { crc32c } from './crc32c.ts'
import type { Headers, KafkaRecord } from './records.ts'

/** Aborted records of a producer begin at an offset; they end at its next abort marker. */
export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: number
}

/** What a fetch may still take into memory. Shared by the partitions of a reply. */
export interface FetchBudget {
  /** Of decompressed records, in bytes: when it is used up, what follows is left for the next fetch. */
  bytes: number
}

export interface ReadOptions {
  readonly fetchOffset: number
  /** Empty for a reader that wants uncommitted records too. */
  readonly aborted: readonly AbortedTransaction[]
  readonly budget: FetchBudget
  readonly decompress: (codec: number, bytes: Buffer, maxBytes: number) => Promise<Buffer>
  /** Of the partition: a batch that is beyond it is none. */
  readonly endOffset: number
  /** A batch of which only the checksum is wrong is unreadable; otherwise it ends the set, to be fetched again. */
  readonly takesDamaged?: boolean | undefined
}

/** What a reader of committed records sees of fetched bytes. */
export interface RecordSet {
  readonly records: readonly KafkaRecord[]
  /** Where the next fetch begins: after the last batch that was read, whatever records it has. */
  readonly nextOffset: number
  /** Why nothing was read: what is wrong with the first batch. */
  readonly problem?: string
}

/** A record batch with its records decompressed may have so many bytes. Its records are unreadable beyond it. */
export const maxBatchBytes = 32 * 1024 * 1024
/** A fetch gives no more records of a partition: where they are tiny, they would fill the memory. */
export const maxFetchedRecords = 10_000
/** A header is two bytes on the wire and a hundred in memory: the records of a batch with more are unreadable. */
export const maxBatchHeaders = 250_000

const headerBytes = 61
/** Of a batch's bytes, those before what its length counts. */
const lengthEnd = 12
/** Of a batch's bytes, those before what its checksum covers. */
const crcEnd = 21
const smallestRecord = 7
const noHeaders: Headers = Object.freeze(Object.create(null))

/**
 * Reads record batches (magic 2) up to where the fetch has cut the last one, as Kafka's own consumer does with `read_committed`: the aborted transactions begin
 * in the order of their first offsets, by producer, up to each batch's last offset; an abort marker ends that of its
 * producer. https://kafka.apache.org/documentation/#recordbatch
 */
export async function readRecordSet(bytes: Buffer, options: ReadOptions): Promise<RecordSet> {
  const { fetchOffset, budget, decompress } = options
  const isHiddenBatch = abortedBatches(options.aborted)
  const records: KafkaRecord[] = []
  let nextOffset = fetchOffset
  let end = fetchOffset
  for (let at = 0; at < bytes.length; ) {
    const size = bytes.length - at < headerBytes ? 0 : lengthEnd + bytes.readInt32BE(at + 8)
    let wrong = wrongFrame(bytes, at, size)
    if (wrong !== undefined) return stopped(wrong)
    const batch = headerOf(bytes, at, size)
    const { lastOffset, codec } = batch
    const payload = bytes.subarray(at + headerBytes, batch.end)
    const isSound = crc32c(bytes, at + crcEnd, batch.end) === bytes.readUInt32BE(at + crcEnd - 4)
    wrong = wrongOffsets(bytes, batch, end, options.endOffset)
    if (wrong === undefined && !isSound && !isTaken(batch, options)) wrong = 'its checksum is wrong'
    if (wrong !== undefined) return stopped(wrong)
    at = batch.end
    end = lastOffset + 1
    if (!isHiddenBatch(batch, payload) && batch.count > 0) {
      if (codec !== 0 && budget.bytes <= 0) break
      let problem: string | undefined = 'its checksum is wrong'
      if (isSound) {
        try {
          const plain = codec === 0 ? payload : await decompress(codec, payload, maxBatchBytes)
          if (codec !== 0) budget.bytes -= plain.length
          problem = decodeRecords(plain, batch, fetchOffset, records)
        } catch (error) {
          budget.bytes -= maxBatchBytes
          problem = messageOf(error)
        }
      }
      if (problem !== undefined) putUnreadable(batch, fetchOffset, problem, records)
      const last = records.at(-1)?.offset ?? -1
      if (records.length >= maxFetchedRecords && last < lastOffset) {
        return { records, nextOffset: last + 1 }
      }
    }
    nextOffset = Math.max(nextOffset, lastOffset + 1)
    if (records.length >= maxFetchedRecords) break
  }
  return { records, nextOffset }

  function stopped(problem: string): RecordSet {
    return nextOffset === fetchOffset ? { records, nextOffset, problem } : { records, nextOffset }
  }
}

interface BatchHeader {
  readonly end: number
  readonly firstOffset: number
  readonly lastOffset: number
  readonly codec: number
  readonly isAppendTime: boolean
  readonly isTransactional: boolean
  readonly isControl: boolean
  readonly firstTimestamp: number
  readonly maxTimestamp: number
  readonly producerId: bigint
  readonly count: number
}

/** The length and the format are not covered by the checksum, and neither is the first offset. */
function wrongFrame(bytes: Buffer, at: number, size: number): string | undefined {
  const left = bytes.length - at
  if (left < headerBytes) return `only ${left} bytes of its header came`
  if (size < headerBytes) return `its length is ${size - lengthEnd}`
  if (bytes[at + 16] !== 2) return `its format is ${bytes[at + 16]}`
  return size > left ? `of its ${size} bytes ${left} came` : undefined
}

/**
 * Where one of two batches has a damaged first offset, nobody knows which of them, and what is between would be passed over.
 * @param end offset after the last batch, or of the fetch
 */
function wrongOffsets(bytes: Buffer, batch: BatchHeader, end: number, endOffset: number): string | undefined {
  const { firstOffset, lastOffset } = batch
  const next = bytes.length - batch.end < 8 ? endOffset : Number(bytes.readBigInt64BE(batch.end))
  if (lastOffset >= Math.max(firstOffset, end) && lastOffset < Math.min(next, endOffset)) return undefined
  return `its offsets are ${firstOffset} to ${lastOffset}, where ${end} to ${Math.min(next, endOffset) - 1} should be`
}

function headerOf(bytes: Buffer, at: number, size: number): BatchHeader {
  const firstOffset = Number(bytes.readBigInt64BE(at))
  const attributes = bytes.readInt16BE(at + 21)
  return {
    end: at + size,
    firstOffset,
    lastOffset: firstOffset + bytes.readInt32BE(at + 23),
    codec: attributes & 0x07,
    isAppendTime: (attributes & 0x08) !== 0,
    isTransactional: (attributes & 0x10) !== 0,
    isControl: (attributes & 0x20) !== 0,
    firstTimestamp: Number(bytes.readBigInt64BE(at + 27)),
    maxTimestamp: Number(bytes.readBigInt64BE(at + 35)),
    producerId: bytes.readBigInt64BE(at + 43),
    count: bytes.readInt32BE(at + 57),
  }
}

/** Tells, for one batch after the other, whether nobody sees it: markers of transactions, and what was aborted. */
function abortedBatches(aborted: readonly AbortedTransaction[]): (batch: BatchHeader, payload: Buffer) => boolean {
  if (aborted.length === 0) return ({ isControl }) => isControl
  const inOrder = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
  const aborting = new Set<bigint>()
  let begun = 0
  return ({ lastOffset, producerId, isControl, isTransactional }, payload) => {
    while (begun < inOrder.length && inOrder[begun]!.firstOffset <= lastOffset)
      aborting.add(inOrder[begun++]!.producerId)
    if (isControl && isAbortMarker(payload)) aborting.delete(producerId)
    return isControl || (isTransactional && aborting.has(producerId))
  }
}

/** A control record's key is its version and its type, 0 for abort. */
function isAbortMarker(payload: Buffer): boolean {
  if (payload.length === 0) return false
  position = 0
  readVarInt(payload)
  position++
  readVarInt(payload)
  readVarInt(payload)
  const key = readBytes(payload)
  return key !== null && key.length >= 4 && key.readInt16BE(2) === 0
}

/** Whether the header of a damaged batch is sound, so that its records are known by their offsets. */
function isTaken({ firstOffset, lastOffset, count }: BatchHeader, { takesDamaged }: ReadOptions): boolean {
  return takesDamaged === true && count === lastOffset - firstOffset + 1 && count > 0
}

/** Where the next varint begins: one cursor for all, since decoding a batch is never interrupted. */
let position = 0
/** How many headers the batch may still have. */
let headersLeft = 0

/** Adds the records from `fetchOffset` on, up to the limit; the answer is what is wrong with the next one. */
function decodeRecords(
  bytes: Buffer,
  batch: BatchHeader,
  fetchOffset: number,
  records: KafkaRecord[],
): string | undefined {
  const { firstOffset, lastOffset, firstTimestamp, maxTimestamp, isAppendTime, count } = batch
  if (count * smallestRecord > bytes.length) return `it has ${bytes.length} bytes for ${count} records`
  let before = firstOffset - 1
  position = 0
  headersLeft = maxBatchHeaders
  // https://kafka.apache.org/documentation/#record
  for (let i = 0; i < count; i++) {
    const length = readVarInt(bytes)
    const end = position++ + length
    const timestampDelta = readVarInt(bytes)
    const offset = firstOffset + readVarInt(bytes)
    const key = readBytes(bytes)
    const value = readBytes(bytes)
    const headers = readHeaders(bytes)
    if (headers === undefined) return `record ${i} has a wrong number of headers, or too many`
    if (position !== end || end > bytes.length) return `the length of record ${i} is wrong`
    if (!(offset > before && offset <= lastOffset)) return `the offset of record ${i} is wrong`
    before = offset
    if (offset < fetchOffset) continue
    const timestamp = isAppendTime ? maxTimestamp : firstTimestamp + timestampDelta
    if (records.push({ offset, timestamp, key, value, headers }) >= maxFetchedRecords) break
  }
  return undefined
}

/**
 * One for each record that could not be read: their number and their first offset are known. (Where a compacted topic
 * has holes in the batch they stand at its first offsets.)
 */
function putUnreadable(batch: BatchHeader, fetchOffset: number, problem: string, records: KafkaRecord[]): void {
  const { firstOffset, lastOffset, count, maxTimestamp: timestamp } = batch
  const unreadable = `Cannot read the record batch at offset ${firstOffset}: ${problem}`
  const from = Math.max(fetchOffset, firstOffset, (records.at(-1)?.offset ?? -1) + 1)
  const to = Math.min(firstOffset + count - 1, lastOffset)
  for (let offset = from; offset <= to && records.length < maxFetchedRecords; offset++) {
    records.push({ offset, timestamp, key: null, value: null, headers: noHeaders, unreadable })
  }
}

/** A zigzag varint of up to 2^53. */
function readVarInt(bytes: Buffer): number {
  let byte = bytes[position++]!
  if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
  let value = byte & 0x7f
  for (let scale = 0x80; byte >= 0x80; scale *= 0x80) {
    byte = bytes[position++]!
    value += (byte & 0x7f) * scale
  }
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}

function readBytes(bytes: Buffer): Buffer | null {
  const size = readVarInt(bytes)
  if (size < 0) return null
  const from = position
  position += size
  return bytes.subarray(from, position)
}

/** undefined where there cannot be so many. */
function readHeaders(bytes: Buffer): Headers | undefined {
  const count = readVarInt(bytes)
  if (count === 0) return noHeaders
  if (!(count > 0 && count <= headersLeft && count <= (bytes.length - position) / 2)) return undefined
  headersLeft -= count
  // without a prototype: a name may be any text, `__proto__` too
  const headers: Record<string, Buffer | null | (Buffer | null)[]> = Object.create(null)
  for (let i = 0; i < count; i++) {
    const name = String(readBytes(bytes) ?? '')
    const value = readBytes(bytes)
    const former = headers[name]
    if (Array.isArray(former)) former.push(value)
    else headers[name] = former === undefined ? value : [former, value]
  }
  return headers
}
