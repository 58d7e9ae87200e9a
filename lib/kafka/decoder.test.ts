import { createRequire } from 'node:module'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { type Decoder, withOnePass, withPlainOffsets } from './decoder.ts'
import { loadKafkajs } from './kafkajs.ts'

loadKafkajs()

const require = createRequire(import.meta.url)

/** The stock module in a fresh copy: the cached one is replaced. */
function stockOf<T>(path: string): T {
  const file = require.resolve(`kafkajs/src/${path}`)
  const replaced = require.cache[file]
  delete require.cache[file]
  const stock = require(file) as T
  require.cache[file] = replaced
  return stock
}
type Decode = Parameters<typeof withOnePass>[0]
const stock = stockOf<Decode>('protocol/requests/fetch/v4/decodeMessages')
const { lookupCodecByAttributes } = require('kafkajs/src/protocol/message/compression')
const DecoderClass = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => Decoder
interface Encoded {
  readonly buffer: Buffer
}
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0') as {
  RecordBatch(fields: object): Promise<Encoded>
}
const encodeRecord = require('kafkajs/src/protocol/recordBatch/record/v0') as (record: object) => Encoded

const ours = withOnePass(() => expect.fail('left to the stock decoder'), lookupCodecByAttributes)

/** A fetched record set: batches after each other, the last one cut short by `cut` bytes. */
async function recordSet(cut: number, ...batches: readonly Buffer[]): Promise<Buffer> {
  const bytes = Buffer.concat(batches)
  const size = Buffer.alloc(4)
  size.writeInt32BE(bytes.length - cut)
  return Buffer.concat([size, bytes.subarray(0, bytes.length - cut), Buffer.from('what follows')])
}

const texts = ['', 'a', 'zażółć 異常 🚨', 'x'.repeat(300), 'y'.repeat(70_000)]

async function batch(firstOffset: number, count: number, attributes = 0): Promise<Buffer> {
  const records = Array.from({ length: count }, (_, i) =>
    encodeRecord({
      offsetDelta: i * 3,
      timestampDelta: [0, 1, -5, 70_000, 2 ** 40][i % 5],
      key: i % 3 === 0 ? null : texts[i % 4],
      value: i % 7 === 6 ? null : Buffer.from(texts[i % texts.length]!),
      headers: i % 4 === 1 ? { reason: texts[i % 5]!, several: ['1', Buffer.from('2'), '3'] } : {},
    }),
  )
  const { buffer } = await RecordBatch({
    records,
    firstOffset: String(firstOffset),
    firstTimestamp: 1_763_836_800_123,
    maxTimestamp: 1_763_836_900_456,
    producerId: '9007199254740993',
    producerEpoch: 7,
    firstSequence: 3,
    lastOffsetDelta: count * 3,
  })
  buffer.writeInt16BE(attributes, 21)
  return buffer
}

/** What both decoders must agree on; the stock one gives 64-bit numbers as text. */
const plain = (messages: Awaited<ReturnType<Decode>>) =>
  messages.map(({ attributes, timestamp, offset, key, value, headers, isControlRecord, batchContext }) => ({
    attributes,
    timestamp: Number(timestamp),
    offset: Number(offset),
    key: key && String(key),
    value: value && String(value),
    headers: Object.entries(headers).map(([name, values]) => [name, [values].flat().map(String)]),
    isControlRecord,
    context: [batchContext.producerId, batchContext.inTransaction, Number(batchContext.firstOffset)],
  }))

async function expectSame(bytes: Buffer, count: number): Promise<void> {
  const [a, b] = [new DecoderClass(bytes), new DecoderClass(bytes)]
  const [expected, actual] = [await stock(a), await ours(b)]
  expect(plain(actual)).to.deep.equal(plain(expected))
  expect(actual.length).to.equal(count)
  expect(b.offset).to.equal(a.offset)
}

describe('kafka-decoder', () => {
  it('gives what the stock decoder gives, batch after batch', async () => {
    await expectSame(await recordSet(0, await batch(0, 200)), 200)
    await expectSame(await recordSet(0, await batch(5, 1), await batch(2 ** 40, 70), await batch(2 ** 50, 3)), 74)
  })

  it('knows transactions, control records and time stamps of the broker', async () => {
    await expectSame(
      await recordSet(0, await batch(1, 5, 0x10), await batch(20, 1, 0x30), await batch(30, 5, 0x08)),
      11,
    )
  })

  it('leaves out the batch that the broker has cut', async () => {
    const whole = await batch(1, 50)
    for (const cut of [1, 100, whole.length - 61, whole.length - 49, whole.length - 20]) {
      await expectSame(await recordSet(cut, whole, whole), 50)
    }
  })

  it('reads compressed batches', async () => {
    const whole = await batch(1, 50)
    const packed = Buffer.concat([whole.subarray(0, 61), gzipSync(whole.subarray(61))])
    packed.writeInt32BE(packed.length - 12, 8)
    packed.writeInt16BE(1, 21)
    await expectSame(await recordSet(0, packed, whole), 100)
  })

  it('takes nothing from an empty set', async () => {
    const bytes = Buffer.alloc(4)
    const decoder = new DecoderClass(bytes)
    expect(await withOnePass(stock, lookupCodecByAttributes)(decoder)).to.deep.equal([])
    expect(decoder.offset).to.equal(4)
  })

  it('refuses a record whose parts do not fit', async () => {
    const bytes = await recordSet(0, await batch(1, 1))
    bytes[4 + 61] = 40
    const error = await ours(new DecoderClass(bytes)).catch((thrown) => thrown)
    expect(error).to.be.an('error').with.property('message').that.includes('record 1')
  })

  it('builds the batch that the stock constructor builds', () => {
    const Stock = stockOf<Parameters<typeof withPlainOffsets>[0]>('consumer/batch')
    const Ours = withPlainOffsets(Stock)
    const message = (offset: number, isControlRecord = false) => ({
      offset,
      isControlRecord,
      key: null,
      batchContext: {},
    })
    for (const messages of [
      [],
      [message(3), message(4)],
      [message(5), message(6), message(7, true)],
      [message(5, true)],
      [message(1), message(5), message(6)],
    ]) {
      const data = { partition: 2, highWatermark: '9', abortedTransactions: [], messages }
      const [a, b] = [new Stock('t', '5', data), new Ours('t', '5', data)]
      expect({ ...b }).to.deep.equal({ ...a })
      expect(Object.getPrototypeOf(b)).to.equal(Stock.prototype)
    }
  })
})
