import { expect } from 'chai'
import { encodedBatch } from './encoded-batch.ts'
import { type FetchingBroker, readingRecords, withRawRecords } from './fetch.ts'
import type { RecordSet } from './record-set.ts'

const records = [{ offset: 5, value: Buffer.from('x') }]

/** A broker whose partition 0 holds these bytes from offset 5 on, and how much each fetch asked for. */
function brokerWith(replies: readonly Buffer[], endOffset = '6') {
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
    }),
  }
  const fetch = async (fetchOffset = '5'): Promise<RecordSet> => {
    const partitions = [{ partition: 0, fetchOffset, maxBytes: 1000 }]
    const { responses } = await broker.fetch({ topics: [{ topic: 't', partitions }] })
    return responses[0]!.partitions[0]!.messages as RecordSet
  }
  return { asked, fetch }
}

describe('fetch', () => {
  it('asks for more and more of a partition while what comes holds no whole batch, then for as much as before', async () => {
    const whole = encodedBatch({ firstOffset: 5, records })
    const { asked, fetch } = brokerWith([whole.subarray(0, 60), Buffer.alloc(0), whole])
    for (let i = 0; i < 2; i++) expect(await fetch()).to.deep.include({ records: [], nextOffset: 5 })
    expect((await fetch()).nextOffset).to.equal(6)
    await fetch()
    expect(asked).to.deep.equal([1000, 2000, 4000, 1000])
  })

  it('asks for no more where there is nothing more', async () => {
    const { asked, fetch } = brokerWith([Buffer.alloc(0)], '5')
    await fetch()
    await fetch()
    expect(asked).to.deep.equal([1000, 1000])
  })

  it('fetches a batch with a wrong checksum three times before its records are unreadable', async () => {
    const damaged = encodedBatch({ firstOffset: 5, records })
    damaged[damaged.length - 2]! ^= 1
    const { fetch } = brokerWith([damaged])
    for (let i = 0; i < 3; i++) expect(await fetch()).to.deep.include({ records: [], nextOffset: 5 })
    const { records: given, nextOffset } = await fetch()
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
    const { records: given } = await fetch()
    expect(given.map(({ value }) => String(value))).to.deep.equal(['x'])
  })

  it('refuses records that are longer than their reply', async () => {
    const bytes = Buffer.alloc(100)
    bytes.writeInt32BE(97)
    const error = await withRawRecords(() => expect.fail())({ buffer: bytes, offset: 0 }).catch((thrown) => thrown)
    expect(error).to.be.instanceOf(RangeError)
  })
})
