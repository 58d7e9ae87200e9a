import { expect } from 'chai'
import { coalescingScorer } from './coalescing-scorer.ts'
import type { RowBatch, Scorer } from './scorer.ts'

/** Answers each row with the sum of its present numbers, when it is let to; explains every row by its first column. */
function summingScorer() {
  const calls: RowBatch[] = []
  const gates: PromiseWithResolvers<void>[] = []
  const scorer: Scorer = {
    modelVersion: 'sum',
    async score(batch) {
      calls.push({ ...batch, rows: batch.rows.slice() })
      const gate = Promise.withResolvers<void>()
      gates.push(gate)
      await gate.promise
      const width = batch.columns.length
      const sums = Float64Array.from({ length: batch.count }, (_, row) =>
        batch.rows.subarray(row * width, (row + 1) * width).reduce((sum, x) => sum + (Number.isNaN(x) ? 0 : x), 0),
      )
      const explanations = new Map(
        Array.from(sums, (observed, row) => [
          row,
          [{ model: 0, column: batch.columns[0]!, observed, expected: 0, contribution: 1 }],
        ]),
      )
      return { modelVersionOf: (row) => `sum ${row}`, surprisals: [sums], explanations }
    },
  }
  return { scorer, calls, gates }
}

const rowsOf = (columns: string, ...rows: number[][]): RowBatch => ({
  columns: [...columns],
  rows: Float64Array.from(rows.flat()),
  count: rows.length,
  explainFrom: rows.length,
})
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('coalescingScorer()', () => {
  it('makes one call of what comes in one turn, and gives each caller its own rows', async () => {
    const { scorer, calls, gates } = summingScorer()
    const coalescing = coalescingScorer(scorer)
    const one = coalescing.score({ ...rowsOf('a', [1], [2]), keyIds: Uint32Array.of(7, 8) })
    const two = coalescing.score({ ...rowsOf('ab', [3, 30]), keyIds: Uint32Array.of(9) })
    await turn()
    const keyIds = Uint32Array.of(7, 8, 9)
    expect(calls).to.deep.equal([
      { columns: ['a', 'b'], rows: Float64Array.of(1, NaN, 2, NaN, 3, 30), count: 3, keyIds, explainFrom: 1 },
    ])
    gates[0]!.resolve()
    expect((await one).surprisals).to.deep.equal([Float64Array.of(1, 2)])
    const second = await two
    expect(second.surprisals).to.deep.equal([Float64Array.of(33)])
    expect(second.modelVersionOf(0)).to.equal('sum 2')
    expect([...second.explanations]).to.deep.equal([
      [0, [{ model: 0, column: 'a', observed: 33, expected: 0, contribution: 1 }]],
    ])
  })

  it('keeps what comes during a call for the next one', async () => {
    const { scorer, calls, gates } = summingScorer()
    const coalescing = coalescingScorer(scorer)
    const first = coalescing.score(rowsOf('a', [1]))
    await turn()
    const later = [2, 3, 4].map((x) => coalescing.score(rowsOf('a', [x])))
    await turn()
    expect(calls).to.have.length(1)
    gates[0]!.resolve()
    await first
    await turn()
    expect(calls.map(({ count }) => count)).to.deep.equal([1, 3])
    gates[1]!.resolve()
    expect((await Promise.all(later)).map(({ surprisals }) => surprisals[0]![0])).to.deep.equal([2, 3, 4])
  })

  it('makes several calls where the rows are too many for one', async () => {
    const { scorer, calls, gates } = summingScorer()
    const coalescing = coalescingScorer(scorer, { maxRows: 3 })
    const answers = [1, 2, 3].map((x) => coalescing.score(rowsOf('a', [x], [x])))
    for (let call = 0; call < 3; call++) {
      await turn()
      gates[call]!.resolve()
      await answers[call]
    }
    expect(calls.map(({ count }) => count)).to.deep.equal([2, 2, 2])
  })

  it('fails every caller of a call that fails, and goes on', async () => {
    const { scorer, gates } = summingScorer()
    const coalescing = coalescingScorer(scorer)
    const failing = [1, 2].map((x) => coalescing.score(rowsOf('a', [x])))
    await turn()
    gates[0]!.reject(new Error('gone'))
    const reasons = (await Promise.allSettled(failing)).map((one) => one.status === 'rejected' && one.reason.message)
    expect(reasons).to.deep.equal(['gone', 'gone'])
    const after = coalescing.score(rowsOf('a', [7]))
    await turn()
    gates[1]!.resolve()
    expect((await after).surprisals[0]![0]).to.equal(7)
  })

  it('leaves the others alone when one gives up', async () => {
    const { scorer, calls, gates } = summingScorer()
    const coalescing = coalescingScorer(scorer)
    const stop = new AbortController()
    const impatient = coalescing.score(rowsOf('a', [1]), { signal: stop.signal }).catch((error) => error)
    const patient = coalescing.score(rowsOf('a', [2]))
    stop.abort(new Error('too late'))
    expect((await impatient).message).to.equal('too late')
    await turn()
    gates[0]!.resolve()
    expect((await patient).surprisals[0]![0]).to.equal(2)
    expect(calls.map(({ count }) => count)).to.deep.equal([1])
  })
})
