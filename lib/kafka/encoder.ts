import { createRequire } from 'node:module'
import { withOnePass, withPlainOffsets } from './decoder.ts'

/** The only version of kafkajs whose inside this file knows; any other runs as it is. */
const knownVersion = '2.2.4'

/** What kafkajs hands to its encoder for one record. */
interface Message {
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
type EncoderClass = new (initialSize?: number) => Encoder
type ProduceProtocol = (request: ProduceRequest) => { encode(): Promise<Encoder> }

interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly inflight: Map<number, { readonly sentAt: number; readonly requestTimeout: number; timeoutRequest(): void }>
  readonly enforceRequestTimeout: boolean
  requestTimeoutIntervalId?: NodeJS.Timeout
  isConnected(): boolean
  destroy(): void
  scheduleCheckPendingRequests(): void
  scheduleRequestTimeoutCheck(): void
}

interface Broker {
  isConnected(): boolean
}
interface Coordinator {
  readonly groupId: string
  readonly coordinatorType?: number
}
interface Cluster {
  findGroupCoordinator(of: Coordinator): Promise<Broker>
}

const coordinatorTtlMs = 1000
const requestTimeoutCheckMs = 1000

let installed: boolean | undefined

/**
 * Makes kafkajs cheap from outside: groups records in O(n), writes a produce request into one buffer, reads fetched
 * records in one pass, keeps no timer while nothing waits and remembers a coordinator for a second. To be called before kafkajs is loaded for the first
 * time. False, and nothing changed, if kafkajs is of another version or loaded already.
 */
export function install(): boolean {
  installed ??= replaceModules(createRequire(import.meta.url))
  return installed
}

function replaceModules(require: NodeJS.Require): boolean {
  const { version } = require('kafkajs/package.json') as { version: string }
  if (version !== knownVersion || require.cache[require.resolve('kafkajs')] !== undefined) return false

  const inside = (path: string): string => require.resolve(`kafkajs/src/${path}`)
  const replace = (path: string, exports: unknown): void => {
    require(inside(path))
    require.cache[inside(path)]!.exports = exports
  }
  const produce = 'protocol/requests/produce/v3/request'
  replace('producer/groupMessagesPerPartition', groupMessagesPerPartition)
  replace(
    produce,
    withOneBuffer(require(inside(produce)) as ProduceProtocol, require(inside('protocol/encoder')) as EncoderClass),
  )
  const decode = 'protocol/requests/fetch/v4/decodeMessages'
  const { lookupCodecByAttributes } = require(inside('protocol/message/compression')) as {
    lookupCodecByAttributes: Parameters<typeof withOnePass>[1]
  }
  replace(decode, withOnePass(require(inside(decode)) as Parameters<typeof withOnePass>[0], lookupCodecByAttributes))
  const batch = 'consumer/batch'
  replace(batch, withPlainOffsets(require(inside(batch)) as Parameters<typeof withPlainOffsets>[0]))
  const queue = (require(inside('network/requestQueue')) as { prototype: RequestQueue }).prototype
  queue.scheduleCheckPendingRequests = onlyWhilePending(queue.scheduleCheckPendingRequests)
  queue.scheduleRequestTimeoutCheck = checkRequestTimeouts
  const cluster = (require(inside('cluster')) as { prototype: Cluster }).prototype
  cluster.findGroupCoordinator = rememberingCoordinators(cluster.findGroupCoordinator)
  return true
}

function groupMessagesPerPartition({
  topic,
  partitionMetadata,
  messages,
  partitioner,
}: {
  topic: string
  partitionMetadata: readonly unknown[]
  messages: readonly Message[]
  partitioner: (of: { topic: string; partitionMetadata: readonly unknown[]; message: Message }) => number
}): Record<number, Message[]> {
  const groups: Record<number, Message[]> = {}
  if (partitionMetadata.length === 0) return groups
  for (const message of messages) {
    const partition = partitioner({ topic, partitionMetadata, message })
    const group = groups[partition]
    if (group === undefined) groups[partition] = [message]
    else group.push(message)
  }
  return groups
}

/** The stock timer re-arms itself with a negative delay for as long as the connection lives. */
function onlyWhilePending(stock: RequestQueue['scheduleCheckPendingRequests']) {
  return function (this: RequestQueue): void {
    if (this.pending.length > 0) stock.call(this)
  }
}

/** As the stock check, which looks ten times a second on each connection. */
function checkRequestTimeouts(this: RequestQueue): void {
  if (!this.enforceRequestTimeout) return
  this.destroy()
  this.requestTimeoutIntervalId = setInterval(() => {
    for (const request of [...this.inflight.values()]) {
      if (Date.now() - request.sentAt > request.requestTimeout) request.timeoutRequest()
    }
    if (!this.isConnected()) this.destroy()
  }, requestTimeoutCheckMs)
}

/** The stock client asks for the coordinator before each step of a transaction. */
function rememberingCoordinators(stock: Cluster['findGroupCoordinator']) {
  const caches = new WeakMap<Cluster, Map<string, { readonly broker: Broker; readonly until: number }>>()
  return async function (this: Cluster, of: Coordinator): Promise<Broker> {
    let known = caches.get(this)
    if (known === undefined) {
      known = new Map()
      caches.set(this, known)
    }
    const id = `${of.coordinatorType ?? 0} ${of.groupId}`
    const hit = known.get(id)
    if (hit !== undefined && performance.now() < hit.until && hit.broker.isConnected()) return hit.broker
    const broker = await stock.call(this, of)
    known.set(id, { broker, until: performance.now() + coordinatorTtlMs })
    return broker
  }
}

const noHeaders: readonly Header[] = []
interface Header {
  readonly key: string
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
      const list = headersOf(message.headers)
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
  for (const [key, values] of Object.entries(headers)) {
    for (const value of Array.isArray(values) ? values : [values]) {
      const valueSize = sizeOf(value)
      if (valueSize === undefined || value === undefined) return undefined
      list.push({ key, keySize: Buffer.byteLength(key), value, valueSize })
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

const crcTables = Array.from({ length: 8 }, () => new Int32Array(256))
for (let i = 0; i < 256; i++) {
  let crc = i
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  crcTables[0]![i] = crc
}
for (let table = 1; table < 8; table++) {
  for (let i = 0; i < 256; i++) {
    const before = crcTables[table - 1]![i]!
    crcTables[table]![i] = (before >>> 8) ^ crcTables[0]![before & 0xff]!
  }
}
const [t0, t1, t2, t3, t4, t5, t6, t7] = crcTables as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]

/** CRC-32C (Castagnoli) of `bytes[from, to)`, eight bytes a step: Kounavis and Berry, "Slicing-by-8" (2005). */
export function crc32c(bytes: Buffer, from: number, to: number): number {
  let crc = -1
  let i = from
  for (; i + 8 <= to; i += 8) {
    const low = crc ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24))
    crc =
      t7[low & 0xff]! ^
      t6[(low >>> 8) & 0xff]! ^
      t5[(low >>> 16) & 0xff]! ^
      t4[low >>> 24]! ^
      t3[bytes[i + 4]!]! ^
      t2[bytes[i + 5]!]! ^
      t1[bytes[i + 6]!]! ^
      t0[bytes[i + 7]!]!
  }
  for (; i < to; i++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[i]!) & 0xff]!
  return (crc ^ -1) >>> 0
}
