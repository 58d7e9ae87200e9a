import { crc32c } from './crc32c.ts'

/** What kafkajs hands to its encoder for one record. */
export interface Message {
  readonly key?: unknown
  readonly value: unknown
  readonly headers?: unknown
  readonly timestamp?: unknown
}

interface PartitionData {
  readonly partition: number
  readonly messages: readonly Message[]
  readonly firstSequence?: number
}

interface ProduceRequest {
  readonly acks: number
  readonly timeout: number
  readonly transactionalId?: string | null
  readonly producerId?: unknown
  readonly producerEpoch?: number
  readonly compression?: number
  readonly topicData: readonly { readonly topic: string; readonly partitions: readonly PartitionData[] }[]
}

/** kafkajs' growing buffer: the bytes are `buf` up to `offset`. */
interface Encoder {
  buf: Buffer
  offset: number
}
export type EncoderClass = new (initialSize?: number) => Encoder
export type ProduceProtocol = (request: ProduceRequest) => { encode(): Promise<Encoder> }

const noHeaders: readonly Header[] = []
interface Header {
  readonly key: Buffer
  readonly keySize: number
  readonly value: unknown
  readonly valueSize: number
}

/** A partition's records with their sizes in bytes; a size of -1 is null. */
interface Sized {
  readonly data: PartitionData
  readonly keySizes: Int32Array
  readonly valueSizes: Int32Array
  readonly bodySizes: Int32Array
  readonly headers: readonly (readonly Header[])[] | undefined
  /** Of the record batch, with its first 12 bytes. */
  readonly size: number
}

const batchOverhead = 61

/**
 * Wraps the stock produce request (v3; v4 to v7 build on it). Anything unusual, such as compression, time stamps or
 * values other than strings and buffers, is left to the stock encoder; the rest gives the same bytes. (A header without a
 * value, which the stock encoder cannot write, is written as such.)
 */
export function withOneBuffer(stock: ProduceProtocol, Encoder: EncoderClass): ProduceProtocol {
  return (request) => {
    const stockRequest = stock(request)
    return { ...stockRequest, encode: async () => encodeProduce(request, Encoder) ?? (await stockRequest.encode()) }
  }
}

function encodeProduce(request: ProduceRequest, Encoder: EncoderClass): Encoder | undefined {
  const { acks, timeout, transactionalId = null, producerEpoch = 0, compression = 0, topicData } = request
  const producerId = toBigInt(request.producerId)
  if (producerId === undefined || compression !== 0) return undefined

  let size = 2 + (transactionalId === null ? 0 : Buffer.byteLength(transactionalId)) + 2 + 4 + 4
  const topics: { readonly topic: string; readonly partitions: readonly Sized[] }[] = []
  for (const { topic, partitions } of topicData) {
    const sized: Sized[] = []
    size += 2 + Buffer.byteLength(topic) + 4
    for (const data of partitions) {
      const measured = measure(data)
      if (measured === undefined) return undefined
      sized.push(measured)
      size += 4 + 4 + measured.size
    }
    topics.push({ topic, partitions: sized })
  }

  const bytes = Buffer.allocUnsafe(size)
  let at = writeString(bytes, 0, transactionalId)
  at = bytes.writeInt16BE(acks, at)
  at = bytes.writeInt32BE(timeout, at)
  at = bytes.writeInt32BE(topics.length, at)
  for (const { topic, partitions } of topics) {
    at = writeString(bytes, at, topic)
    at = bytes.writeInt32BE(partitions.length, at)
    for (const partition of partitions) {
      at = bytes.writeInt32BE(partition.data.partition, at)
      at = bytes.writeInt32BE(partition.size, at)
      at = writeBatch(bytes, at, partition, { producerId, producerEpoch, transactional: Boolean(transactionalId) })
    }
  }
  const encoder = new Encoder(0)
  encoder.buf = bytes
  encoder.offset = size
  return encoder
}

/** kafkajs carries 64-bit numbers as strings or as an object around a bigint. */
function toBigInt(value: unknown): bigint | undefined {
  if (value === undefined) return -1n
  if (typeof value === 'string' && /^-?\d+$/.test(value)) return BigInt(value)
  if (typeof value === 'object' && value !== null && 'value' in value && typeof value.value === 'bigint')
    return value.value
  return undefined
}

function measure(data: PartitionData): Sized | undefined {
  const { messages } = data
  const count = messages.length
  if (count === 0) return undefined
  const keySizes = new Int32Array(count)
  const valueSizes = new Int32Array(count)
  const bodySizes = new Int32Array(count)
  let headers: (readonly Header[])[] | undefined
  let size = batchOverhead
  // Records that go together often share one object.
  let former: unknown
  let formerList: readonly Header[] | undefined
  for (let i = 0; i < count; i++) {
    const message = messages[i]!
    const keySize = sizeOf(message.key)
    const valueSize = sizeOf(message.value)
    if (keySize === undefined || valueSize === undefined || message.timestamp != null) return undefined
    let body = 1 + 1 + varIntSize(i) + nullableSize(keySize) + nullableSize(valueSize)
    if (message.headers === undefined) {
      headers?.push(noHeaders)
      body += 1
    } else {
      const list = message.headers === former ? formerList : headersOf(message.headers)
      former = message.headers
      formerList = list
      if (list === undefined) return undefined
      headers ??= Array.from({ length: i }, () => noHeaders)
      headers.push(list)
      body += varIntSize(list.length)
      for (const header of list) body += nullableSize(header.keySize) + nullableSize(header.valueSize)
    }
    keySizes[i] = keySize
    valueSizes[i] = valueSize
    bodySizes[i] = body
    size += varIntSize(body) + body
  }
  return { data, keySizes, valueSizes, bodySizes, headers, size }
}

function sizeOf(value: unknown): number | undefined {
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (value === null || value === undefined) return -1
  return Buffer.isBuffer(value) ? value.length : undefined
}

function headersOf(headers: unknown): readonly Header[] | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined
  const list: Header[] = []
  for (const [name, values] of Object.entries(headers)) {
    const key = Buffer.from(name)
    for (const value of Array.isArray(values) ? values : [values]) {
      const valueSize = sizeOf(value)
      if (valueSize === undefined || value === undefined) return undefined
      list.push({ key, keySize: key.length, value, valueSize })
    }
  }
  return list
}

/** Bytes of a zigzag varint of a number from 0 to 2^30. */
function varIntSize(value: number): number {
  if (value < 64) return 1
  if (value < 8192) return 2
  if (value < 1_048_576) return 3
  return value < 134_217_728 ? 4 : 5
}

function nullableSize(size: number): number {
  return size < 0 ? 1 : varIntSize(size) + size
}

function writeVarInt(bytes: Buffer, at: number, value: number): number {
  let rest = (value << 1) ^ (value >> 31)
  let next = at
  while ((rest & ~0x7f) !== 0) {
    bytes[next++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[next++] = rest
  return next
}

function writeNullable(bytes: Buffer, at: number, value: unknown, size: number): number {
  const next = writeVarInt(bytes, at, size)
  if (size <= 0) return next
  if (typeof value === 'string') bytes.write(value, next, size, 'utf8')
  else bytes.set(value as Buffer, next)
  return next + size
}

function writeString(bytes: Buffer, at: number, value: string | null): number {
  if (value === null) return bytes.writeInt16BE(-1, at)
  const next = at + 2
  const size = bytes.write(value, next, 'utf8')
  bytes.writeInt16BE(size, at)
  return next + size
}

/** RecordBatch, magic 2: https://kafka.apache.org/documentation/#recordbatch */
function writeBatch(
  bytes: Buffer,
  start: number,
  { data, keySizes, valueSizes, bodySizes, headers, size }: Sized,
  producer: { readonly producerId: bigint; readonly producerEpoch: number; readonly transactional: boolean },
): number {
  const { messages, firstSequence = 0 } = data
  const count = messages.length
  const now = BigInt(Date.now())
  let at = bytes.writeBigInt64BE(0n, start)
  at = bytes.writeInt32BE(size - 12, at)
  at = bytes.writeInt32BE(0, at)
  at = bytes.writeInt8(2, at)
  const crcAt = at
  const crcFrom = crcAt + 4
  at = bytes.writeInt16BE(producer.transactional ? 16 : 0, crcFrom)
  at = bytes.writeInt32BE(count - 1, at)
  at = bytes.writeBigInt64BE(now, at)
  at = bytes.writeBigInt64BE(now, at)
  at = bytes.writeBigInt64BE(producer.producerId, at)
  at = bytes.writeInt16BE(producer.producerEpoch, at)
  at = bytes.writeInt32BE(firstSequence, at)
  at = bytes.writeInt32BE(count, at)
  for (let i = 0; i < count; i++) {
    const message = messages[i]!
    at = writeVarInt(bytes, at, bodySizes[i]!)
    bytes[at++] = 0
    bytes[at++] = 0
    at = writeVarInt(bytes, at, i)
    at = writeNullable(bytes, at, message.key, keySizes[i]!)
    at = writeNullable(bytes, at, message.value, valueSizes[i]!)
    const list = headers?.[i] ?? noHeaders
    at = writeVarInt(bytes, at, list.length)
    for (const header of list) {
      at = writeNullable(bytes, at, header.key, header.keySize)
      at = writeNullable(bytes, at, header.value, header.valueSize)
    }
  }
  bytes.writeUInt32BE(crc32c(bytes, crcFrom, at), crcAt)
  return at
}
