import { expect } from 'chai'
import { encodedBatch } from './encoded-batch.ts'
import { type FetchingBroker, readingRecords, withRawRecords } from './fetch.ts'
import type { RecordSet } from './record-set.ts'

const records = [{ offset: 5, value: Buffer.from('x') }]

/** A broker whose partition 0 holds these bytes from offset 5 on, and how much each fetch asked for. */
function brokerWith(
  replies: readonly Buffer[],
  { endOffset = '6', now }: { readonly endOffset?: string; readonly now?: () => number } = {},
) {
  const asked: number[] = []
  const decode = withRawRecords(() => expect.fail('no message set'))
  const broker: FetchingBroker = {
    fetch: readingRecords(async ({ topics }) => {
      asked.push(topics[0]!.partitions[0]!.maxBytes)
      const bytes = replies[Math.min(asked.length, replies.length) - 1]!
      const size = Buffer.alloc(4)
      size.writeInt32BE(bytes.length)
      const messages = await decode({ buffer: Buffer.concat([size, bytes]), offset: 0 })
      const partition = { partition: 0, highWatermark: endOffset, lastStableOffset: endOffset, messages }
      return { responses: [{ topicName: 't', partitions: [partition] }] }
    }, now),
  }
  const fetch = async (fetchOffset = '5'): Promise<RecordSet | undefined> => {
    const partitions = [{ partition: 0, fetchOffset, maxBytes: 1000 }]
    const { responses } = await broker.fetch({ topics: [{ topic: 't', partitions }] })
    return responses[0]?.partitions[0]?.messages as RecordSet | undefined
  }
  return { asked, fetch }
}

describe('fetch', () => {
  it('puts a partition of which no whole batch came first, and the others where they were after that', async () => {
    const whole = encodedBatch({ firstOffset: 5, records })
    const asked: string[] = []
    const fetch = readingRecords(async ({ topics }) => {
      const all = topics.flatMap(({ topic, partitions }) => partitions.map(({ partition }) => `${topic}${partition}`))
      asked.push(all.join(' '))
      return {
        responses: topics.map(({ topic, partitions }) => ({
          topicName: topic,
          partitions: partitions.map(({ partition }) => {
            const isWhole = `${topic}${partition}` === all[0]
            const messages = { bytes: isWhole ? whole : whole.subarray(0, 62) }
            return { partition, highWatermark: '6', messages }
          }),
        })),
      }
    })
    const broker = { fetch }
    const next = new Map(['a0', 'a1', 'b0'].map((name) => [name, '5']))
    for (let i = 0; i < 4; i++) {
      const partitionOf = (topic: string, partition: number) => {
        return { partition, maxBytes: 100, fetchOffset: next.get(`${topic}${partition}`)! }
      }
      const topics = [
        { topic: 'a', partitions: [partitionOf('a', 0), partitionOf('a', 1)] },
        { topic: 'b', partitions: [partitionOf('b', 0)] },
      ]
      for (const { topicName, partitions } of (await broker.fetch({ topics })).responses) {
        for (const { partition, messages } of partitions)
          next.set(`${topicName}${partition}`, String((messages as RecordSet).nextOffset))
      }
    }
    expect(asked).to.deep.equal(['a0 a1 b0', 'a1 a0 b0', 'b0 a0 a1', 'a0 a1 b0'])
    expect([...next.values()]).to.deep.equal(['6', '6', '6'])
  })

  it('says of a partition that stands still what is wrong, and leaves it out for a while', async () => {
    const damaged = encodedBatch({ firstOffset: 5, records })
    damaged.writeInt32BE(2 ** 30, 8)
    for (const bytes of [damaged, damaged.subarray(0, 20), Buffer.alloc(0)]) {
      let now = 0
      const { asked, fetch } = brokerWith([bytes], { now: () => now })
      for (let i = 0; i < 3; i++) expect(await fetch()).to.deep.equal({ records: [], nextOffset: 5 })
      const { problem, nextOffset } = (await fetch())!
      expect(problem).to.match(
        /^Cannot read the record batch of t-0 at offset 5: (of its|only|nothing) .*came\. Repair/,
      )
      expect(nextOffset).to.equal(5)
      expect(await fetch()).to.equal(undefined)
      expect(asked).to.have.length(4)
      now += 5000
      expect((await fetch())!.problem).to.equal(problem)
      expect(await fetch('7')).to.have.keys('records', 'nextOffset')
    }
  })

  it('says nothing where there is nothing more', async () => {
    const { fetch } = brokerWith([Buffer.alloc(0)], { endOffset: '5' })
    for (let i = 0; i < 6; i++) expect(await fetch()).to.deep.equal({ records: [], nextOffset: 5 })
  })

  it('fetches a batch with a wrong checksum three times before its records are unreadable', async () => {
    const damaged = encodedBatch({ firstOffset: 5, records })
    damaged[damaged.length - 2]! ^= 1
    const { fetch } = brokerWith([damaged])
    for (let i = 0; i < 3; i++) expect(await fetch()).to.deep.include({ records: [], nextOffset: 5 })
    const { records: given, nextOffset } = (await fetch())!
    expect(given.map(({ offset, unreadable }) => [offset, unreadable])).to.deep.equal([
      [5, 'Cannot read the record batch at offset 5: its checksum is wrong'],
    ])
    expect(nextOffset).to.equal(6)
  })

  it('takes a batch that was damaged on its way once it comes whole', async () => {
    const whole = encodedBatch({ firstOffset: 5, records })
    const damaged = Buffer.from(whole)
    damaged[damaged.length - 2]! ^= 1
    const { fetch } = brokerWith([damaged, damaged, whole])
    for (let i = 0; i < 2; i++) await fetch()
    const { records: given } = (await fetch())!
    expect(given.map(({ value }) => String(value))).to.deep.equal(['x'])
  })

  it('refuses records that are longer than their reply', async () => {
    const bytes = Buffer.alloc(100)
    bytes.writeInt32BE(97)
    const error = await withRawRecords(() => expect.fail())({ buffer: bytes, offset: 0 }).catch((thrown) => thrown)
    expect(error).to.be.instanceOf(RangeError)
  })
})
