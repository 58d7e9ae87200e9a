import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect } from 'chai'
import { encodedBatch, encodedMarker } from '../../lib/kafka/encoded-batch.ts'
import { type FetchingBroker, readingRecords, withRawRecords } from '../../lib/kafka/fetch.ts'
import type { RecordSet } from '../../lib/kafka/record-set.ts'
import type { Chance, Fuzz } from './fuzz.ts'

interface Batch {
  readonly bytes: Buffer
  readonly lastOffset: number
}

function logOf(chance: Chance): readonly Batch[] {
  const batches: Batch[] = []
  let offset = chance.int(5)
  for (let n = 1 + chance.int(6); n > 0; n--) {
    const firstOffset = offset
    const count = 1 + chance.int(5)
    const [codec, compress] = chance.pick(
      [0, (plain: Buffer) => plain],
      [1, (plain: Buffer) => gzipSync(plain)],
      [4, (plain: Buffer) => zstdCompressSync(plain)],
    ) as [number, (plain: Buffer) => Buffer]
    const isMarker = chance.happens(0.1)
    offset += isMarker ? 1 : count
    const records = Array.from({ length: count }, (_, i) => ({
      offset: firstOffset + i,
      key: chance.happens(0.3) ? null : Buffer.from('key'),
      value: Buffer.from(`value ${firstOffset + i}`),
      headers: Array.from({ length: chance.int(3) }, () => [chance.pick('a', '__proto__'), Buffer.from('h')] as const),
    }))
    const whole = isMarker
      ? encodedMarker(firstOffset, 7n, chance.pick('Abort', 'Commit'))
      : encodedBatch({ firstOffset, records, codec, compress, lastOffset: offset - 1 })
    // no checksum covers the first offset
    const bytes = chance.happens(0.3) ? Buffer.concat([whole.subarray(0, 8), chance.damaged(whole.subarray(8))]) : whole
    batches.push({ bytes, lastOffset: offset - 1 })
  }
  return batches
}

/** As a broker answers: from the batch that has the offset, cut anywhere. */
function brokerOf(batches: readonly Batch[], end: number, chance: Chance): FetchingBroker {
  const decode = withRawRecords(async () => [])
  return {
    fetch: readingRecords(async ({ topics }) => {
      const { fetchOffset } = topics[0]!.partitions[0]!
      const from = batches.findIndex(({ lastOffset }) => lastOffset >= Number(fetchOffset))
      const log = Buffer.concat(batches.slice(from).map(({ bytes }) => bytes))
      const bytes = log.subarray(0, Math.max(batches[from]!.bytes.length, chance.int(log.length + 1)))
      const size = Buffer.alloc(4)
      size.writeInt32BE(bytes.length)
      const messages = await decode({ buffer: Buffer.concat([size, bytes]), offset: 0 })
      const partition = { partition: 0, highWatermark: String(end), messages }
      return { responses: [{ topicName: 't', partitions: [partition] }] }
    }),
  }
}

/** A log is read to its end or to where it is damaged, forwards, and no record that is given is another than was written. */
export const fuzz: Fuzz = {
  name: 'kafka-replies',
  async tryOne(chance) {
    const batches = logOf(chance)
    const end = batches.at(-1)!.lastOffset + 1
    const broker = brokerOf(batches, end, chance)
    let next = 0
    for (let stood = 0; next < end && stood < 5; ) {
      const partitions = [{ partition: 0, fetchOffset: String(next), maxBytes: 1000 }]
      let set: RecordSet
      try {
        const { responses } = await broker.fetch({ topics: [{ topic: 't', partitions }] })
        set = responses[0]!.partitions[0]!.messages as RecordSet
      } catch (error) {
        expect(String(error)).to.match(/^RangeError: \d+ bytes of records in a reply of/)
        return
      }
      if (set.problem !== undefined) {
        expect(set.problem).to.match(/^Cannot read the record batch of t-0 at offset \d+: /)
        return
      }
      const message = `offset ${next} of ${batches.map(({ bytes }) => bytes.toString('hex')).join(' ')}`
      expect(set.nextOffset, message).to.be.within(next, end)
      let before = next - 1
      for (const { offset, value, unreadable } of set.records) {
        expect(offset, message).to.be.within(before + 1, set.nextOffset - 1)
        if (unreadable === undefined) expect(String(value), message).to.equal(`value ${offset}`)
        else expect(unreadable, message).to.match(/^Cannot read the record batch at offset \d+: [^\n]{1,300}$/)
        before = offset
      }
      stood = set.nextOffset > next ? 0 : stood + 1
      next = set.nextOffset
    }
  },
}
