import { expect } from 'chai'
import { random } from '../detection/random.ts'
import type { RowBatch, Scorer } from './scorer.ts'

export interface OpenScorer {
  readonly scorer: Scorer
  /** Resolves when a fit that is due has taken effect. */
  settled(): Promise<void>
  close(): Promise<void> | void
}

const columns = ['value', 'amount', 'distance']
const never = Number.POSITIVE_INFINITY
const ordinaryRow = [0.5, 10.5, 20.5]
const chance = random('scorer suite')

/** Ordinary rows: each column about its own level. */
function ordinary(count: number, names: readonly string[] = columns): RowBatch {
  const rows = Float64Array.from({ length: count * names.length }, (_, i) => 10 * (i % names.length) + chance.next())
  return { columns: names, rows, count, explainFrom: never }
}

function rowsOf(names: readonly string[], rows: readonly (readonly number[])[], explainFrom: number): RowBatch {
  return { columns: names, rows: Float64Array.from(rows.flat()), count: rows.length, explainFrom }
}

/**
 * What every scorer does, however far away its model is.
 *
 * @param open a scorer with one model that has seen nothing yet
 */
export function behavesAsScorer(open: () => Promise<OpenScorer>): void {
  let opened: OpenScorer
  let scorer: Scorer
  beforeEach(async () => {
    opened = await open()
    scorer = opened.scorer
  })
  afterEach(() => opened.close())

  async function learnt(count = 600, names = columns): Promise<void> {
    for (let sent = 0; sent < count; sent += 100) await scorer.score(ordinary(100, names))
    await opened.settled()
    await scorer.score(ordinary(1, names))
    expect(scorer.modelVersion).to.match(/^forest-\d+-[0-9a-f]{8}$/)
  }

  it('only learns until it has seen enough rows for a model', async () => {
    const scored = await scorer.score(ordinary(3))
    expect(scorer.modelVersion).to.equal('LEARNING')
    expect(scored.modelVersionOf(2)).to.equal('LEARNING')
    expect(scored.surprisals).to.deep.equal([Float64Array.of(NaN, NaN, NaN)])
    expect([...scored.explanations]).to.deep.equal([])
  })

  it('is surprised by a row unlike the others, and says by which columns', async () => {
    await learnt()
    const scored = await scorer.score(rowsOf(columns, [ordinaryRow, [0.5, 90, 95]], 2))
    const [ofOrdinary, ofOdd] = scored.surprisals[0]!
    expect(ofOrdinary).to.be.within(0, 2)
    expect(ofOdd).to.be.above(2)
    expect([...scored.explanations.keys()]).to.deep.equal([1])
    const reasons = [...scored.explanations.get(1)!].sort((one, other) => other.observed! - one.observed!)
    expect(reasons.slice(0, 2).map(({ column, observed }) => [column, observed])).to.deep.equal([
      ['distance', 95],
      ['amount', 90],
    ])
    expect(reasons[0]!.expected).to.be.closeTo(20.5, 0.3)
    expect(reasons[1]!.expected).to.be.closeTo(10.5, 0.3)
    for (const { model, contribution } of reasons) {
      expect(model).to.equal(0)
      expect(contribution).to.be.within(0, 1)
    }
    expect(scored.modelVersionOf(0)).to.equal(scorer.modelVersion)
  })

  it('says of a missing number that it was not there', async () => {
    await learnt()
    const scored = await scorer.score(rowsOf(columns, [[NaN, 95, 95]], 0))
    const reasons = scored.explanations.get(0)!
    expect(reasons.map(({ column, observed }) => [column, observed])).to.deep.include.members([['amount', 95]])
    for (const { column, observed } of reasons) expect(observed === null).to.equal(column === 'value')
  })

  it('takes more columns than before, and fewer than the model knows', async () => {
    await learnt()
    const wider = await scorer.score(rowsOf([...columns, 'new'], [[...ordinaryRow, 7]], never))
    const same = await scorer.score(rowsOf(columns, [ordinaryRow], never))
    expect(wider.surprisals).to.deep.equal(same.surprisals)
    const shorter = await scorer.score(rowsOf(columns.slice(0, 2), [[0.5, 10.5]], never))
    const padded = await scorer.score(rowsOf(columns, [[0.5, 10.5, NaN]], never))
    expect(shorter.surprisals).to.deep.equal(padded.surprisals)
  })

  it('scores no rows at all', async () => {
    await learnt()
    const scored = await scorer.score(ordinary(0))
    expect([...scored.explanations]).to.deep.equal([])
    expect(scored.surprisals.every(({ length }) => length === 0)).to.equal(true)
  })

  it('keeps concurrent batches apart', async () => {
    await learnt()
    const batches = [10.5, 90, 10.1, 5].map((amount) => rowsOf(columns, [[0.5, amount, 20.5]], never))
    const together = await Promise.all(batches.map((batch) => scorer.score(batch)))
    const apart: number[] = []
    for (const batch of batches) apart.push((await scorer.score(batch)).surprisals[0]![0]!)
    expect(new Set(apart).size).to.be.above(1)
    expect(together.map(({ surprisals }) => surprisals[0]![0])).to.deep.equal(apart)
  })
}
