import { expect } from 'chai'
import { type Forest, fitForest, scoreRows } from './isolation-forest.ts'
import { random } from './random.ts'

interface Options {
  readonly trees?: number
  readonly sampleSize?: number
  readonly seed?: number
}

function grown(
  rows: readonly (readonly number[])[],
  { trees = 100, sampleSize = 256, seed = 1 }: Options = {},
): Forest {
  const matrix = Float64Array.from(rows.flat())
  return fitForest(matrix, rows.length, rows[0]!.length, { trees, sampleSize, random: random(seed) })
}

function scoresOf(forest: Forest, rows: readonly (readonly number[])[]): number[] {
  const scores = new Float64Array(rows.length)
  scoreRows(forest, Float64Array.from(rows.flat()), rows.length, rows[0]!.length, scores)
  return [...scores]
}

/** Rows from a standard normal distribution in every column. */
function normalRows(count: number, columns: number, seed = 7): number[][] {
  const chance = random(seed)
  const normal = () => Math.sqrt(-2 * Math.log(1 - chance.next())) * Math.cos(2 * Math.PI * chance.next())
  return Array.from({ length: count }, () => Array.from({ length: columns }, normal))
}

/** Columns that any split of the forest looks at. */
function columnsUsed(forest: Forest): number[] {
  const used = new Set<number>()
  forest.thresholds.forEach((threshold, i) => {
    if (!Number.isNaN(threshold)) used.add(forest.slots[i]! >> 1)
  })
  return [...used].sort((a, b) => a - b)
}

describe('fitForest() and scoreRows()', () => {
  it('give the score of the paper: two rows are parted by the first split, so that both paths are c(2) = 1', () => {
    const forest = grown([[0], [1]], { trees: 10 })
    expect([forest.height, forest.expectedPath]).to.deep.equal([1, 1])
    for (const score of scoresOf(forest, [[-5], [0], [1], [9]])) expect(score).to.equal(0.5)
  })

  it('adjust the path of a leaf by the average path of the rows in it', () => {
    // The first split parts 9 from the zeros, which nothing parts: E[h] is 1 for it, 1 + c(3) for them.
    const forest = grown([[0], [0], [0], [9]], { trees: 10 })
    const c = (n: number) => {
      let harmonic = 0
      for (let i = 1; i < n; i++) harmonic += 1 / i
      return 2 * harmonic - (2 * (n - 1)) / n
    }
    expect(c(3)).to.equal(5 / 3)
    const [zero, nine] = scoresOf(forest, [[0], [9]])
    expect(zero).to.be.closeTo(2 ** (-(1 + c(3)) / c(4)), 1e-12)
    expect(nine).to.be.closeTo(2 ** (-1 / c(4)), 1e-12)
  })

  it('stop at the height limit', () => {
    // Doubling numbers are peeled off one at a time: only the limit ends it.
    const forest = grown(
      Array.from({ length: 256 }, (_, i) => [2 ** i]),
      { trees: 20 },
    )
    expect(forest.height).to.equal(8)
    for (const leaf of forest.leaves) expect(leaf === 0 || leaf >= 1).to.equal(true)
    const [ordinary, extreme] = scoresOf(forest, [[1], [2 ** 255]])
    expect(ordinary).to.be.lessThan(extreme!)
  })

  it('put what lies apart above all that is ordinary', () => {
    const rows = normalRows(2000, 4)
    const forest = grown(rows)
    const ordinary = scoresOf(forest, normalRows(1000, 4, 8)).sort((a, b) => a - b)
    expect(ordinary[500]).to.be.within(0.38, 0.5)
    expect(scoresOf(forest, [[5, 5, -5, 5]])[0]).to.be.greaterThan(ordinary[999]!)
    const [centre, near, far] = scoresOf(forest, [
      [0, 0, 0, 0],
      [3, 0, 0, 0],
      [9, 0, 0, 0],
    ])
    expect(near).to.be.greaterThan(centre! + 0.03)
    expect(far).to.be.greaterThan(near!)
  })

  it('choose uniformly among the columns that vary, be there ever so many that do not', () => {
    const rows = normalRows(300, 2).map(([a, b]) => [
      ...new Array<number>(50).fill(3),
      a!,
      ...new Array<number>(50).fill(Number.NaN),
      b!,
    ])
    const forest = grown(rows, { trees: 1000, sampleSize: 16 })
    expect(columnsUsed(forest)).to.deep.equal([50, 101])
    let first = 0
    for (let tree = 0; tree < 1000; tree++) if (forest.slots[tree * 16 + 1]! >> 1 === 50) first++
    // Half of a thousand roots, give or take four standard deviations.
    expect(first).to.be.within(437, 563)
  })

  it('draw thresholds uniformly between the least and the greatest, so that neither side is empty', () => {
    const forest = grown([[0], [10]], { trees: 1000 })
    const thresholds = Array.from({ length: 1000 }, (_, tree) => forest.thresholds[2 * tree + 1]!)
    expect(Math.min(...thresholds)).to.be.within(Number.MIN_VALUE, 0.1)
    expect(Math.max(...thresholds)).to.be.within(9.9, 10)
    expect(thresholds.reduce((sum, t) => sum + t) / 1000).to.be.within(4.6, 5.4)
  })

  it('part numbers that have no number between them, and the greatest that there are', () => {
    for (const pair of [
      [1, 1 + Number.EPSILON],
      [-Number.MAX_VALUE, Number.MAX_VALUE],
      [0, Number.MIN_VALUE],
    ]) {
      const forest = grown(pair.map((x) => [x]))
      expect(columnsUsed(forest), `${pair}`).to.deep.equal([0])
      for (const threshold of forest.thresholds)
        if (!Number.isNaN(threshold)) expect(threshold > pair[0]! && threshold <= pair[1]!).to.equal(true)
    }
  })

  it('make every row 0.5 where nothing varies', () => {
    for (const row of [
      [3, 3],
      [Number.NaN, 3],
      [Infinity, -Infinity],
    ]) {
      const forest = grown(new Array(100).fill(row))
      expect(columnsUsed(forest)).to.deep.equal([])
      for (const score of scoresOf(forest, [row, [1e9, -1e9]])) expect(score).to.be.closeTo(0.5, 1e-12)
    }
  })

  it('find a missing value neither strange nor ordinary', () => {
    const chance = random(4)
    const complete = normalRows(3000, 6)
    const holed = complete.map((row) => row.map((x) => (chance.next() < 0.1 ? Number.NaN : x)))
    const median = (numbers: number[]) => numbers.sort((a, b) => a - b)[numbers.length >> 1]!
    const fresh = normalRows(1000, 6, 9)
    for (const rows of [complete, holed]) {
      const forest = grown(rows)
      const whole = median(scoresOf(forest, fresh))
      const without = median(
        scoresOf(
          forest,
          fresh.map((row) => [Number.NaN, ...row.slice(1)]),
        ),
      )
      expect(Math.abs(without - whole)).to.be.lessThan(0.02)
      const [strange] = scoresOf(forest, [[Number.NaN, 8, -8, 8, 0, 0]])
      expect(strange).to.be.greaterThan(0.6)
    }
  })

  it('are not broken by infinite values', () => {
    const rows = normalRows(500, 3)
    rows.forEach((row, i) => {
      if (i % 10 === 0) row[0] = i % 20 === 0 ? Infinity : -Infinity
    })
    const forest = grown(rows)
    for (const threshold of forest.thresholds) expect(Math.abs(threshold)).to.not.equal(Infinity)
    for (const score of scoresOf(forest, rows)) expect(score).to.be.within(0.2, 0.9)
  })

  it('are the same for the same seed, and others for another', () => {
    const rows = normalRows(400, 3)
    expect(grown(rows, { seed: 5 })).to.deep.equal(grown(rows, { seed: 5 }))
    expect(grown(rows, { seed: 5 })).to.not.deep.equal(grown(rows, { seed: 6 }))
  })

  it('build each tree from its own sample, and from all rows where they are fewer', () => {
    expect(grown(normalRows(100, 2)).height).to.equal(7)
    expect(grown(normalRows(100, 2), { sampleSize: 16 }).height).to.equal(4)
    expect(() => grown([[1]])).to.throw(RangeError, 'Cannot fit a forest on 1 rows: 2 are the least')
  })
})
