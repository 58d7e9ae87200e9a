/** What kafkajs gives to its decoder: the bytes of a fetch response and where it stands in them. */
export interface Decoder {
  readonly buffer: Buffer
  offset: number
}

interface Message {
  readonly attributes: number
  readonly timestamp: number
  readonly offset: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Headers
  readonly isControlRecord: boolean
  readonly batchContext: BatchContext
}
type Headers = Readonly<Record<string, Buffer | null | readonly (Buffer | null)[]>>
interface BatchContext {
  readonly firstOffset: number
  readonly firstTimestamp: number
  readonly isControlBatch: boolean
  readonly inTransaction: boolean
  readonly producerId: string
}

type DecodeMessages = (decoder: Decoder) => Promise<Message[]>
type LookUpCodec = (attributes: number) => { decompress(bytes: Buffer): Promise<Buffer> } | null

const batchOverhead = 61
/** The stock decoder begins with a batch only where so many bytes are left. */
const leastBytes = 49
const noHeaders: Headers = Object.freeze(Object.create(null))

/**
 * Wraps kafkajs' decoder of the records in a fetch response. The messages are the same but that `offset` and `timestamp`
 * are numbers, exact up to 2^53. Message sets of before Kafka 0.11 are left to the stock decoder.
 */
export function withOnePass(stock: DecodeMessages, lookUpCodec: LookUpCodec): DecodeMessages {
  return async (decoder) => {
    const { buffer, offset: start } = decoder
    const size = buffer.readInt32BE(start)
    const from = start + 4
    if (size <= leastBytes || from + size > buffer.length || buffer[from + 16] !== 2) return await stock(decoder)
    decoder.offset = from + size

    const messages: Message[] = []
    const bytes = buffer.subarray(from, from + size)
    for (let at = 0; bytes.length - at >= leastBytes; ) {
      const end = at + 12 + bytes.readInt32BE(at + 8)
      // the broker cuts the last batch where the limit of the fetch is
      if (end > bytes.length) break
      const attributes = bytes.readInt16BE(at + 21)
      const context: BatchContext = {
        firstOffset: Number(bytes.readBigInt64BE(at)),
        firstTimestamp: Number(bytes.readBigInt64BE(at + 27)),
        isControlBatch: (attributes & 0x20) !== 0,
        inTransaction: (attributes & 0x10) !== 0,
        producerId: String(bytes.readBigInt64BE(at + 43)),
      }
      const appended = (attributes & 0x08) !== 0 ? Number(bytes.readBigInt64BE(at + 35)) : undefined
      const count = bytes.readInt32BE(at + 57)
      const codec = count > 0 ? lookUpCodec(attributes) : null
      const records = bytes.subarray(at + batchOverhead, end)
      decodeRecords(codec === null ? records : await codec.decompress(records), count, context, appended, messages)
      at = end
    }
    return messages
  }
}

/** Where the next varint begins: one cursor for all, since decoding a batch is never interrupted. */
let at = 0

/** https://kafka.apache.org/documentation/#record */
function decodeRecords(
  bytes: Buffer,
  count: number,
  batchContext: BatchContext,
  appended: number | undefined,
  messages: Message[],
): void {
  const { firstOffset, firstTimestamp, isControlBatch } = batchContext
  at = 0
  for (let i = 0; i < count; i++) {
    const length = readVarInt(bytes)
    const end = at + length
    const attributes = bytes[at++]!
    const timestampDelta = readVarInt(bytes)
    const offsetDelta = readVarInt(bytes)
    const key = readBytes(bytes)
    const value = readBytes(bytes)
    const headers = readHeaders(bytes)
    if (at !== end || end > bytes.length)
      throw new Error(`Cannot decode record ${firstOffset + i}: its length is wrong`)
    messages.push({
      attributes,
      timestamp: appended ?? firstTimestamp + timestampDelta,
      offset: firstOffset + offsetDelta,
      key,
      value,
      headers,
      isControlRecord: isControlBatch,
      batchContext,
    })
  }
}

/** A zigzag varint of up to 2^53. */
function readVarInt(bytes: Buffer): number {
  let byte = bytes[at++]!
  if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
  let value = byte & 0x7f
  for (let scale = 0x80; byte >= 0x80; scale *= 0x80) {
    byte = bytes[at++]!
    value += (byte & 0x7f) * scale
  }
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}

function readBytes(bytes: Buffer): Buffer | null {
  const size = readVarInt(bytes)
  if (size < 0) return null
  const from = at
  at += size
  return bytes.subarray(from, at)
}

function readHeaders(bytes: Buffer): Headers {
  const count = readVarInt(bytes)
  if (count <= 0) return noHeaders
  // without a prototype: a name may be any text, `__proto__` too
  const headers: Record<string, Buffer | null | readonly (Buffer | null)[]> = Object.create(null)
  for (let i = 0; i < count; i++) {
    const name = String(readBytes(bytes) ?? '')
    const value = readBytes(bytes)
    const former = headers[name]
    headers[name] =
      former === undefined ? value : Array.isArray(former) ? [...former, value] : [former as Buffer | null, value]
  }
  return headers
}

interface Batch {
  readonly topic: string
}
interface PartitionData {
  readonly partition: number
  readonly highWatermark: string
  readonly abortedTransactions: readonly unknown[] | null
  readonly messages: readonly { readonly offset: number | string; readonly isControlRecord: boolean }[]
}
type BatchClass = { readonly prototype: Batch }

/** Builds kafkajs' batch of fetched messages as its constructor does, without a bigint a message where none was aborted. */
export function withPlainOffsets(
  Stock: BatchClass & (new (topic: string, fetchedOffset: string, data: PartitionData) => Batch),
): new (
  topic: string,
  fetchedOffset: string,
  data: PartitionData,
) => Batch {
  function BatchOf(topic: string, fetchedOffset: string, data: PartitionData): Batch {
    const { partition, highWatermark, abortedTransactions, messages } = data
    if (abortedTransactions?.length) return new Stock(topic, fetchedOffset, data)
    const from = Number(fetchedOffset)
    const within =
      messages.length > 0 && Number(messages[0]!.offset) >= from
        ? messages
        : messages.filter((m) => Number(m.offset) >= from)
    return Object.assign(Object.create(Stock.prototype), {
      fetchedOffset,
      topic,
      partition,
      highWatermark,
      rawMessages: messages,
      messagesWithinOffset: within,
      messages: within.some((m) => m.isControlRecord) ? within.filter((m) => !m.isControlRecord) : within,
    })
  }
  return BatchOf as unknown as ReturnType<typeof withPlainOffsets>
}
