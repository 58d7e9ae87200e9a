import { expect } from 'chai'
import { random } from '../detection/random.ts'
import { nextRefit } from '../detection/refit-schedule.ts'
import { InProcessScorer } from './in-process.ts'
import { behavesAsScorer } from './scorer-suite.ts'

const forest = { name: 'forest', type: 'isolationForest', trees: 100, sampleSize: 256, refitEvents: 5000 } as const
const columns = ['value', 'amount']

function rowsOf(count: number): Float64Array {
  const chance = random('rows')
  return Float64Array.from({ length: count * columns.length }, () => chance.next())
}

/** Scores rows in batches of a size: the surprisal and the model's version of every row. */
async function scored(scorer: InProcessScorer, rows: Float64Array, batchSize: number) {
  const surprisals: number[] = []
  const versions: string[] = []
  const total = rows.length / columns.length
  for (let from = 0; from < total; from += batchSize) {
    const count = Math.min(batchSize, total - from)
    const part = rows.subarray(from * columns.length, (from + count) * columns.length)
    const answer = await scorer.score({ columns, rows: part, count, explainFrom: Number.POSITIVE_INFINITY })
    surprisals.push(...answer.surprisals[0]!)
    for (let row = 0; row < count; row++) versions.push(answer.modelVersionOf(row))
  }
  return { surprisals, versions }
}

describe('InProcessScorer', () => {
  for (const fitting of ['Inline', 'Worker'] as const)
    describe(`fitting: ${fitting}`, () => {
      behavesAsScorer(async () => {
        const scorer = new InProcessScorer({ detectors: [forest], seed: 1, fitting })
        return { scorer, settled: () => scorer.idle(), close: () => scorer.close() }
      })
    })

  it('changes the model at exactly the row that is due over past data, wherever batches are cut', async () => {
    const rows = rowsOf(700)
    const detector = { ...forest, refitEvents: 200 }
    const due = [0]
    for (let row = nextRefit(0, 200); row < 700; row = nextRefit(row, 200)) due.push(row)
    const whole = await scored(new InProcessScorer({ detectors: [detector], seed: 1, fitting: 'Inline' }), rows, 700)
    const changes = whole.versions.flatMap((version, row) => (version === whole.versions[row - 1] ? [] : [row]))
    expect(changes).to.deep.equal(due)
    expect(whole.versions[0]).to.equal('LEARNING')
    for (const row of due.slice(1)) expect(whole.versions[row]).to.match(new RegExp(`^forest-${row}-`))
    for (const batchSize of [1, 7, 100, 256]) {
      const scorer = new InProcessScorer({ detectors: [detector], seed: 1, fitting: 'Inline' })
      expect(await scored(scorer, rows, batchSize), `batches of ${batchSize}`).to.deep.equal(whole)
    }
  })

  it('fits other models with another seed', async () => {
    const rows = rowsOf(300)
    const of = (seed: number) =>
      scored(new InProcessScorer({ detectors: [forest], seed, fitting: 'Inline' }), rows, 300)
    expect((await of(1)).surprisals).to.not.deep.equal((await of(2)).surprisals)
  })

  for (const fitting of ['Inline', 'Worker'] as const)
    it(`fits each of several forests (${fitting})`, async () => {
      const scorer = new InProcessScorer({
        detectors: [forest, { ...forest, name: 'other', trees: 10 }],
        seed: 1,
        fitting,
      })
      await scored(scorer, rowsOf(100), 100)
      await scorer.idle()
      expect(scorer.modelVersion).to.match(/^forest-\d+-[0-9a-f]{8}\+forest-\d+-[0-9a-f]{8}$/)
      await scorer.close()
    })

  it('goes on with the former models where a fit fails in the worker, and says so', async () => {
    const errors: unknown[] = []
    const scorer = new InProcessScorer({
      // No forest can be grown from samples of one row.
      detectors: [{ ...forest, name: 'impossible', sampleSize: 1 }, forest],
      seed: 1,
      fitting: 'Worker',
      onFitError: (error) => errors.push(error),
    })
    await scored(scorer, rowsOf(100), 20)
    await scorer.idle()
    expect(errors[0]).to.have.property('message', 'Cannot fit a forest on 1 rows: 2 are the least')
    expect(scorer.modelVersion).to.equal('LEARNING')
    const { surprisals } = await scored(scorer, rowsOf(50), 50)
    expect(surprisals).to.have.length(50)
    await scorer.close()
  })

  it('scores with the former model while a new one is fitted in the worker', async () => {
    const scorer = new InProcessScorer({ detectors: [{ ...forest, refitEvents: 100 }], seed: 1, fitting: 'Worker' })
    await scored(scorer, rowsOf(20), 20)
    await scorer.idle()
    const former = scorer.modelVersion
    expect(former).to.match(/^forest-/)
    const { versions } = await scored(scorer, rowsOf(200), 1)
    expect(versions[0]).to.equal(former)
    await scorer.idle()
    expect(scorer.modelVersion).to.not.equal(former)
    await scorer.close()
  })

  it('makes up for a fit that came due while another was under way', async () => {
    const scorer = new InProcessScorer({ detectors: [forest], seed: 1, fitting: 'Worker' })
    await scored(scorer, rowsOf(2000), 100)
    await scorer.idle()
    expect(scorer.modelVersion).to.match(/^forest-16-/)
    await scored(scorer, rowsOf(1), 1)
    await scorer.idle()
    expect(scorer.modelVersion).to.match(/^forest-2001-/)
    await scorer.close()
  })

  it('can be closed in the middle of a fit', async () => {
    const errors: unknown[] = []
    const scorer = new InProcessScorer({
      detectors: [forest],
      seed: 1,
      fitting: 'Worker',
      onFitError: (error) => errors.push(error),
    })
    await scored(scorer, rowsOf(20), 20)
    await scorer.close()
    await scorer.idle()
    expect([errors, scorer.modelVersion]).to.deep.equal([[], 'LEARNING'])
  })
})
