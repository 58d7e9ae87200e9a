import { createRequire } from 'node:module'
import { expect } from 'chai'
import { crc32c } from './crc32c.ts'
import { withOneBuffer } from './encoder.ts'
import { loadKafkajs } from './kafkajs.ts'

const { isPatched } = loadKafkajs()

const require = createRequire(import.meta.url)

/** The stock request in a fresh copy of its module: the cached one is replaced. */
function stockProduce(): Parameters<typeof withOneBuffer>[0] {
  const path = require.resolve('kafkajs/src/protocol/requests/produce/v3/request')
  const replaced = require.cache[path]
  delete require.cache[path]
  const stock = require(path)
  require.cache[path] = replaced
  return stock
}
const Encoder = require('kafkajs/src/protocol/encoder') as Parameters<typeof withOneBuffer>[1]
const Long = require('kafkajs/src/utils/long') as { fromValue(value: string): unknown }

/** Numbers from 0 to 1, the same on each run (mulberry32). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

function batches(seed: number) {
  const next = random(seed)
  const below = (n: number): number => Math.floor(next() * n)
  const one = <T>(...choices: (() => T)[]): T => choices[below(choices.length)]!()
  const text = (max: number): string =>
    one(
      () => 'a'.repeat(below(max)),
      () => 'zażółć 異常 🚨 '.repeat(below(max / 8)),
      () => `\ud800${'x'.repeat(below(80))}\udc00`,
      () => '',
    )
  const data = (max: number) =>
    one<string | Buffer | null>(
      () => text(max),
      () => Buffer.from(text(max)),
      () => null,
    )
  const message = () => ({
    key: one<string | Buffer | null | undefined>(
      () => data(40),
      () => undefined,
    ),
    value: data(600),
    ...one<object>(
      () => ({}),
      () => ({ partition: 3 }),
      () => ({ headers: {} }),
      () => ({ headers: { reason: text(30), 'größe 🧪': Buffer.from(text(300)) } }),
      () => ({ headers: { several: [text(30), Buffer.from(text(9)), ''], none: [] } }),
    ),
  })
  const transactional = next() < 0.5
  return {
    acks: -1,
    timeout: 30_000,
    ...(transactional
      ? { transactionalId: 'group-tópic-0', producerId: '1234567890123', producerEpoch: below(30_000) }
      : {}),
    ...(next() < 0.2 ? { producerId: Long.fromValue('9007199254740993') } : {}),
    compression: 0,
    topicData: Array.from({ length: 1 + below(3) }, (_, topic) => ({
      topic: `tópic-${topic}`,
      partitions: Array.from({ length: 1 + below(3) }, (_, partition) => ({
        partition,
        ...(transactional ? { firstSequence: below(100_000) } : {}),
        messages: Array.from(
          {
            length:
              1 +
              below(
                one(
                  () => 4,
                  () => 200,
                ),
              ),
          },
          message,
        ),
      })),
    })),
  }
}

describe('kafka-encoder', () => {
  const realNow = Date.now
  before(() => {
    Date.now = () => 1_763_836_800_123
  })
  after(() => {
    Date.now = realNow
  })

  it('is installed in the version of kafkajs that it knows', () => {
    expect(require('kafkajs/package.json').version).to.equal('2.2.4')
    expect(isPatched).to.equal(true)
  })

  it('gives the bytes of the stock encoder for random batches', async () => {
    const stock = stockProduce()
    let fast = 0
    let records = 0
    const ours = withOneBuffer((request) => {
      const inner = stock(request)
      return { ...inner, encode: () => expect.fail('left to the stock encoder') }
    }, Encoder)
    for (let seed = 1; seed <= 150; seed++) {
      const request = batches(seed)
      const [a, b] = [await stock(request).encode(), await ours(request).encode()]
      expect(b.buf.subarray(0, b.offset).equals(a.buf.subarray(0, a.offset)), `seed ${seed}`).to.equal(true)
      fast++
      for (const { partitions } of request.topicData) for (const { messages } of partitions) records += messages.length
    }
    expect(fast).to.equal(150)
    expect(records).to.be.greaterThan(10_000)
  })

  for (const [what, change] of Object.entries({
    compression: { compression: 1 },
    'time stamps': { messages: [{ value: 'a', timestamp: '1763836800000' }] },
    'no record': { messages: [] },
  })) {
    it(`leaves ${what} to the stock encoder`, async () => {
      const { messages = [{ value: 'a' }], ...rest } = change as { messages?: [] }
      const request = {
        acks: -1,
        timeout: 1,
        ...rest,
        topicData: [{ topic: 't', partitions: [{ partition: 0, messages }] }],
      }
      const stock = stockProduce()
      const [a, b] = [await stock(request).encode(), await withOneBuffer(stock, Encoder)(request).encode()]
      expect(b.buf.subarray(0, b.offset)).to.deep.equal(a.buf.subarray(0, a.offset))
    })
  }

  it('computes the CRC-32C of RFC 3720, B.4', () => {
    const of = (bytes: Buffer): number => crc32c(bytes, 0, bytes.length)
    expect(of(Buffer.alloc(32))).to.equal(0x8a9136aa)
    expect(of(Buffer.alloc(32, 0xff))).to.equal(0x62a8ab43)
    expect(of(Buffer.from(Array.from({ length: 32 }, (_, i) => i)))).to.equal(0x46dd794e)
    expect(of(Buffer.from('123456789'))).to.equal(0xe3069283)
  })
})
