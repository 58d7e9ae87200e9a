import { sumPaths, type Trees } from './forest-walk.ts'
import type { Random } from './random.ts'

export interface ForestOptions {
  readonly trees: number
  /** Rows that each tree is built from, without replacement; all of them where there are fewer. */
  readonly sampleSize: number
  readonly random: Random
}

/** An isolation forest (F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", ICDM 2008). */
export interface Forest extends Trees {
  /** c(sample size): the average path length, to which a row's own is compared. */
  readonly expectedPath: number
}

/**
 * Grows a forest on a row-major matrix of at least two rows. Every split takes a column at random among those whose
 * finite values differ within the node, and a threshold uniform between their least and greatest; where none differ, or
 * at height ceil(log2(sample size)), the node is a leaf. A missing value (NaN) goes where more of the node's rows go, so
 * that its absence makes a row neither strange nor ordinary. An infinite one goes to its side and decides nothing.
 */
export function fitForest(matrix: Float64Array, rows: number, columns: number, options: ForestOptions): Forest {
  const { trees, random } = options
  const sampleSize = Math.min(options.sampleSize, rows)
  if (sampleSize < 2) throw new RangeError(`Cannot fit a forest on ${sampleSize} rows: 2 are the least`)
  const height = Math.ceil(Math.log2(sampleSize))
  const half = 1 << height
  const slots = new Int32Array(trees * half)
  const thresholds = new Float64Array(trees * half).fill(Number.NaN)
  const leaves = new Float64Array(trees * half)
  const averagePaths = averagePathsUpTo(sampleSize)

  /** Where the rows begin in the matrix; the first `sampleSize` are the tree's, its nodes own adjacent ranges. */
  const starts = Int32Array.from({ length: rows }, (_, row) => row * columns)
  /** All columns; the first `constants` of them are known not to vary within the node. */
  const order = Int32Array.from({ length: columns }, (_, column) => column)
  let first = 0

  function grow(node: number, depth: number, from: number, to: number, constants: number): void {
    let column = -1
    let least = 0
    let greatest = 0
    let missing = false
    while (to - from > 1 && depth < height && constants < columns) {
      const drawn = constants + random.int(columns - constants)
      column = order[drawn]!
      least = Number.POSITIVE_INFINITY
      greatest = Number.NEGATIVE_INFINITY
      missing = false
      for (let i = from; i < to; i++) {
        const value = matrix[starts[i]! + column]!
        if (value - value !== 0) {
          missing ||= Number.isNaN(value)
          continue
        }
        if (value < least) least = value
        if (value > greatest) greatest = value
      }
      if (least < greatest) break
      order[drawn] = order[constants]!
      order[constants++] = column
      column = -1
    }
    if (column < 0) {
      leaves[first + (node << (height - depth)) - half] = depth + averagePaths[to - from]!
      return
    }
    const part = random.next()
    let threshold = least * (1 - part) + greatest * part
    // Rounding must not leave a side empty.
    if (!(threshold > least && threshold <= greatest)) threshold = greatest
    const missingRight = missing && goesRight(matrix, starts, column, threshold, from, to)
    // Every row changes places with the first that went right, and those that go left push the border: no branch.
    let left = from
    for (let i = from; i < to; i++) {
      const start = starts[i]!
      const value = matrix[start + column]!
      starts[i] = starts[left]!
      starts[left] = start
      left += Number(missingRight ? value < threshold : !(value >= threshold))
    }
    slots[first + node] = 2 * column + (2 * (to - left) > to - from ? 1 : 0)
    thresholds[first + node] = threshold
    grow(2 * node, depth + 1, from, left, constants)
    grow(2 * node + 1, depth + 1, left, to, constants)
  }

  for (let tree = 0; tree < trees; tree++, first += half) {
    for (let i = 0; i < sampleSize; i++) {
      const drawn = i + random.int(rows - i)
      const start = starts[drawn]!
      starts[drawn] = starts[i]!
      starts[i] = start
    }
    grow(1, 0, 0, sampleSize, 0)
  }
  return { count: trees, height, columns, slots, thresholds, leaves, expectedPath: averagePaths[sampleSize]! }
}

/** The anomaly score of the paper, 2^(-E[h]/c) in (0, 1), for each of the first `rows` rows of a row-major matrix. */
export function scoreRows(
  forest: Forest,
  matrix: Float64Array,
  rows: number,
  columns: number,
  scores: Float64Array,
): void {
  sumPaths(forest, matrix, rows, columns, scores)
  const scale = -1 / (forest.count * forest.expectedPath)
  for (let row = 0; row < rows; row++) scores[row] = 2 ** (scores[row]! * scale)
}

/** Whether more of the rows that have the column's value go right than left. */
function goesRight(
  matrix: Float64Array,
  starts: Int32Array,
  column: number,
  threshold: number,
  from: number,
  to: number,
): boolean {
  let balance = 0
  for (let i = from; i < to; i++) {
    const value = matrix[starts[i]! + column]!
    if (value >= threshold) balance++
    else if (value < threshold) balance--
  }
  return balance > 0
}

/**
 * c(n) for n up to the given: the average path length of an unsuccessful search in a binary search tree of n points,
 * 2 H(n - 1) - 2 (n - 1) / n (section 2 of the paper), H being the harmonic number.
 */
function averagePathsUpTo(points: number): Float64Array {
  const paths = new Float64Array(points + 1)
  let harmonic = 0
  for (let n = 2; n <= points; n++) {
    harmonic += 1 / (n - 1)
    paths[n] = 2 * harmonic - (2 * (n - 1)) / n
  }
  return paths
}
