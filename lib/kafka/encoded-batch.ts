import { crc32c } from './crc32c.ts'

export interface EncodedRecord {
  readonly offset: number
  readonly key?: Buffer | null
  readonly value?: Buffer | null
  readonly headers?: readonly (readonly [name: string, value: Buffer])[]
  readonly timestampDelta?: number
}

export interface BatchFields {
  readonly firstOffset: number
  /** By default that of the last record; compaction leaves it where it takes records. */
  readonly lastOffset?: number
  readonly records: readonly EncodedRecord[]
  readonly producerId?: bigint
  readonly isTransactional?: boolean
  readonly isControl?: boolean
  readonly isAppendTime?: boolean
  readonly codec?: number
  readonly compress?: (payload: Buffer) => Buffer
  /** What the header says, where it lies. */
  readonly count?: number
}

/** A record batch as a log holds it, for tests: https://kafka.apache.org/documentation/#recordbatch */
export function encodedBatch(fields: BatchFields): Buffer {
  const { firstOffset, records, producerId = -1n, codec = 0, compress = (payload) => payload } = fields
  const { isTransactional = false, isControl = false, isAppendTime = false, count = records.length } = fields
  const payload = compress(Buffer.concat(records.map((record) => encodedRecord(record, firstOffset))))
  const header = Buffer.alloc(61)
  header.writeBigInt64BE(BigInt(firstOffset), 0)
  header.writeInt32BE(payload.length + 49, 8)
  header[16] = 2
  header.writeInt16BE(codec | (isAppendTime ? 0x08 : 0) | (isTransactional ? 0x10 : 0) | (isControl ? 0x20 : 0), 21)
  header.writeInt32BE((fields.lastOffset ?? records.at(-1)?.offset ?? firstOffset) - firstOffset, 23)
  header.writeBigInt64BE(1_763_836_800_123n, 27)
  header.writeBigInt64BE(1_763_836_900_456n, 35)
  header.writeBigInt64BE(producerId, 43)
  header.writeInt32BE(count, 57)
  const bytes = Buffer.concat([header, payload])
  bytes.writeUInt32BE(crc32c(bytes, 21, bytes.length), 17)
  return bytes
}

/** What ends a transaction. */
export function encodedMarker(offset: number, producerId: bigint, type: 'Abort' | 'Commit'): Buffer {
  const key = Buffer.from([0, 0, 0, type === 'Abort' ? 0 : 1])
  const records = [{ offset, key, value: Buffer.alloc(6) }]
  return encodedBatch({ firstOffset: offset, records, producerId, isTransactional: true, isControl: true })
}

function encodedRecord(record: EncodedRecord, firstOffset: number): Buffer {
  const { offset, key = null, value = null, headers = [], timestampDelta = 0 } = record
  const body = Buffer.concat([
    Buffer.from([0]),
    varInt(timestampDelta),
    varInt(offset - firstOffset),
    withLength(key),
    withLength(value),
    varInt(headers.length),
    ...headers.flatMap(([name, value]) => [withLength(Buffer.from(name)), withLength(value)]),
  ])
  return Buffer.concat([varInt(body.length), body])
}

function withLength(bytes: Buffer | null): Buffer {
  return bytes === null ? varInt(-1) : Buffer.concat([varInt(bytes.length), bytes])
}

/** Zigzag, seven bits a byte. */
export function varInt(value: number): Buffer {
  const bytes: number[] = []
  let rest = value < 0 ? -2n * BigInt(value) - 1n : 2n * BigInt(value)
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  bytes.push(Number(rest))
  return Buffer.from(bytes)
}
