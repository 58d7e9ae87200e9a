import { expect } from 'chai'
import { parsePipeline } from '../../../lib/pipeline/parse-pipeline.ts'
import { InputCheck } from '../../files/input-check.ts'
import { recordAt } from '../../files/input-record.ts'
import { takeSample } from './sample.ts'

const pipeline = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'test' },
  spec: { source: { brokers: ['localhost:9092'] } },
})

describe('takeSample()', () => {
  let read: number

  async function* rows(count: number, keys: number) {
    for (read = 0; read < count; read++) {
      const event = { eventId: `e${read}`, timestamp: 1000 * read, userId: `u${read % keys}`, value: read }
      yield [recordAt({ source: 'a', row: read + 1, line: read + 1 }, read % 50 === 7 ? '{' : JSON.stringify(event))]
    }
  }
  const sampleOf = (count: number, keys: number, most: number) =>
    takeSample({ pipeline, files: [], rows: rows(count, keys), most, check: new InputCheck(pipeline, () => {}) })

  it('takes all of what is short, and counts what cannot be read', async () => {
    const { events, isWhole, share, rejectedBy } = await sampleOf(100, 10, 1000)
    expect([events.length, isWhole, share, rejectedBy.get('MalformedJson')]).to.deep.equal([98, true, 1, 2])
  })

  it('keeps the whole histories of some of many keys, the same each time', async () => {
    const one = await sampleOf(20_000, 1000, 5000)
    expect(one.events.length).to.be.within(2000, 5000)
    expect([one.isWhole, read]).to.deep.equal([true, 20_000])
    const counts = Map.groupBy(one.events, ({ event }) => event.key)
    expect(counts.size / 1000).to.be.closeTo(one.share, one.share / 3)
    for (const [key, { length }] of counts) expect(length, key).to.be.at.least(19)
    const other = await sampleOf(20_000, 1000, 5000)
    expect(other.events.map(({ event }) => event.id)).to.deep.equal(one.events.map(({ event }) => event.id))
  })

  it('takes the first events of few keys, and stops reading', async () => {
    const { events, isWhole, share } = await sampleOf(1_000_000, 5, 1000)
    expect([events.length, isWhole, share]).to.deep.equal([1000, false, 1])
    expect(read).to.be.below(1100)
  })

  it('reads no more than twenty times as much as it keeps', async () => {
    const { isWhole } = await sampleOf(1_000_000, 100_000, 500)
    expect(isWhole).to.equal(false)
    expect(read).to.be.at.most(10_001)
  })
})
