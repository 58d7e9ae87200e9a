import { expect } from 'chai'
import { sumPaths, type Trees } from './forest-walk.ts'
import { random } from './random.ts'

/** The definition, one row and one tree at a time. */
function plainSums(trees: Trees, matrix: Float64Array, rows: number, columns: number): Float64Array {
  const half = 1 << trees.height
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0
    for (let tree = 0; tree < trees.count; tree++) {
      let node = 1
      while (node < half) {
        const slot = trees.slots[tree * half + node]!
        const column = slot >> 1
        let value = column < columns ? matrix[row * columns + column]! : Number.NaN
        if (Number.isNaN(value)) value = slot % 2 === 1 ? Infinity : -Infinity
        node = 2 * node + (value >= trees.thresholds[tree * half + node]! ? 1 : 0)
      }
      sum += trees.leaves[tree * half + node - half]!
    }
    return sum
  })
}

function randomTrees(seed: number, count: number, height: number, columns: number): Trees {
  const chance = random(seed)
  const nodes = count << height
  return {
    count,
    height,
    columns,
    slots: Int32Array.from({ length: nodes }, () => chance.int(2 * columns)),
    thresholds: Float64Array.from({ length: nodes }, () => (chance.next() < 0.1 ? Number.NaN : chance.next())),
    leaves: Float64Array.from({ length: nodes }, () => chance.next()),
  }
}

function randomRows(seed: number, rows: number, columns: number): Float64Array {
  const chance = random(seed)
  return Float64Array.from({ length: rows * columns }, () => {
    const kind = chance.next()
    return kind < 0.1 ? Number.NaN : kind < 0.12 ? Infinity : kind < 0.14 ? -Infinity : chance.next()
  })
}

describe('sumPaths()', () => {
  it('walks any number of rows exactly as the definition says', () => {
    const trees = randomTrees(1, 13, 5, 3)
    for (const rows of [0, 1, 15, 16, 17, 63, 64, 65, 200]) {
      const matrix = randomRows(rows, rows, 3)
      const sums = new Float64Array(rows)
      sumPaths(trees, matrix, rows, 3, sums)
      expect(sums, `${rows} rows`).to.deep.equal(plainSums(trees, matrix, rows, 3))
    }
  })

  it('walks forests of any size, in any order', () => {
    const forests = [
      [1, 1, 1],
      [100, 8, 8],
      [3, 12, 200],
      [1000, 4, 2],
      [1, 1, 1],
    ].map(([count, height, columns], seed) => randomTrees(seed, count!, height!, columns!))
    for (const trees of [...forests, ...forests]) {
      const matrix = randomRows(9, 70, trees.columns)
      const sums = new Float64Array(70)
      sumPaths(trees, matrix, 70, trees.columns, sums)
      expect(sums).to.deep.equal(plainSums(trees, matrix, 70, trees.columns))
    }
  })

  it('leaves columns out that the trees do not know, and takes those they miss as missing', () => {
    const trees = randomTrees(2, 10, 6, 4)
    for (const columns of [0, 2, 6]) {
      const matrix = randomRows(3, 20, columns)
      const sums = new Float64Array(20)
      sumPaths(trees, matrix, 20, columns, sums)
      expect(sums, `${columns} columns`).to.deep.equal(plainSums(trees, matrix, 20, columns))
    }
  })

  it('walks rows without columns', () => {
    const trees = { ...randomTrees(4, 2, 1, 1), columns: 0, thresholds: new Float64Array(4).fill(Number.NaN) }
    const sums = new Float64Array(3)
    sumPaths(trees, new Float64Array(0), 3, 0, sums)
    expect(sums).to.deep.equal(new Float64Array(3).fill(trees.leaves[0]! + trees.leaves[2]!))
  })
})
