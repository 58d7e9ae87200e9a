import { expect } from 'chai'
import { fitModel } from '../detection/model.ts'
import { random } from '../detection/random.ts'
import { ModelSet } from './model-set.ts'
import { RecentRows } from './recent-rows.ts'
import { isHeld, mostRefusals, takeover } from './takeover.ts'

const columns = ['value', 'amount']
const threshold = -Math.log(0.001)

/** Rows about a level, in columns that belong together. */
function rowsAbout(level: number, count: number, seed: string): Float64Array {
  const chance = random(seed)
  return Float64Array.from({ length: 2 * count }, () => level + chance.next() + chance.next())
}

const modelsOf = (rows: Float64Array, rowsSeen: number, seed = 1) =>
  new ModelSet([fitModel({ rows, columns, rowsSeen, trees: 100, sampleSize: 256, seed })])
const recentOf = (rows: Float64Array) => ({ columns, rows, count: rows.length / 2 })

const present = modelsOf(rowsAbout(0, 2000, 'past'), 5000)
const recent = recentOf(rowsAbout(0, 512, 'recent'))
/** One that has only seen another level: everything of today is strange to it. */
const foreign = modelsOf(rowsAbout(50, 2000, 'foreign'), 10_000)

describe('takeover()', () => {
  const common = { present, recent, threshold, refusals: 0 }

  it('lets a candidate take over that says much the same of the last rows', () => {
    const { outcome, comparison, reason } = takeover({
      ...common,
      candidate: modelsOf(rowsAbout(0, 2000, 'more'), 10_000),
    })
    expect([outcome, reason]).to.deep.equal(['TookOver', undefined])
    expect(comparison!.rows).to.equal(512)
    expect(comparison!.agreement).to.be.above(0.7)
  })

  it('refuses one that would alert on far more rows', () => {
    const { outcome, reason, comparison } = takeover({ ...common, candidate: foreign })
    expect(outcome).to.equal('Refused')
    expect(comparison!.candidateRate).to.be.above(0.5)
    expect(reason).to.match(/^it would alert on \d+\.\d % of the last 512 rows, the model that serves on 0\.\d %$/)
  })

  it('refuses one that no longer alerts on what the present one alerts on', () => {
    const flood = recentOf(Float64Array.of(...rowsAbout(0, 412, 'calm'), ...rowsAbout(50, 100, 'flood')))
    const poisoned = modelsOf(Float64Array.of(...rowsAbout(0, 1000, 'calm'), ...rowsAbout(50, 1000, 'flood')), 10_000)
    const { outcome, reason } = takeover({ ...common, recent: flood, candidate: poisoned })
    expect(outcome).to.equal('Refused')
    expect(reason).to.match(/^it would alert on 0\.\d % .* the model that serves on (1[5-9]|2\d)\.\d %$/)
  })

  it('refuses one that orders the rows otherwise', () => {
    const upsideDown = Object.assign(Object.create(present), {
      version: 'upside-down',
      means: (rows: typeof recent) => present.means(rows).map((surprisal) => -surprisal),
    }) as ModelSet
    const { outcome, reason } = takeover({ ...common, candidate: upsideDown })
    expect(outcome).to.equal('Refused')
    expect(reason).to.include('rank agreement -1.00, 0.3 at least is asked for')
  })

  it('gives in after several refusals: that is how the stream is now', () => {
    expect(takeover({ ...common, candidate: foreign, refusals: mostRefusals - 1 }).outcome).to.equal('Refused')
    const { outcome, reason } = takeover({ ...common, candidate: foreign, refusals: mostRefusals })
    expect(outcome).to.equal('Forced')
    expect(reason).to.be.a('string')
  })

  it('has no measure where there is no model, a young one, or hardly any rows', () => {
    const young = modelsOf(rowsAbout(0, 500, 'young'), 512)
    const few = recentOf(rowsAbout(0, 20, 'few'))
    expect(takeover({ ...common, present: undefined, candidate: foreign })).to.deep.equal({ outcome: 'First' })
    expect(takeover({ ...common, present: young, candidate: foreign })).to.deep.equal({ outcome: 'Young' })
    expect(takeover({ ...common, recent: few, candidate: foreign })).to.deep.equal({ outcome: 'Young' })
  })
})

describe('isHeld()', () => {
  it('holds the version that is pinned, and the present one while that is not kept, unless it has hardly begun', () => {
    expect(isHeld(undefined, present, 5000)).to.equal(false)
    expect(isHeld(present.version, present, 9_999_999)).to.equal(true)
    expect(isHeld('forest-1-gone', present, 5000)).to.equal(true)
    expect(isHeld('forest-1-gone', present, 5001)).to.equal(false)
    expect(isHeld('forest-1-gone', undefined, 16)).to.equal(false)
  })
})

describe('RecentRows', () => {
  it('are the last ones, however they came, by the columns of the last', () => {
    const recent = new RecentRows(3)
    expect(recent.rows().count).to.equal(0)
    recent.add({ columns: ['a'], rows: Float64Array.of(1, 2, 3, 4, 5), count: 5 })
    recent.add({ columns: ['a', 'b'], rows: Float64Array.of(6, 60), count: 1 })
    recent.add({ columns: ['a', 'b'], rows: new Float64Array(0), count: 0 })
    const { columns, rows, count } = recent.rows()
    expect([columns, [...rows], count]).to.deep.equal([['a', 'b'], [4, NaN, 5, NaN, 6, 60], 3])
    recent.add({ columns: ['b', 'a'], rows: Float64Array.of(70, 7), count: 1 })
    expect([...recent.rows().rows]).to.deep.equal([NaN, 5, 60, 6, 70, 7])
  })
})
