import type { Random } from './random.ts'

/** Blocks of rows, and rows in each: 32 blocks were measured to be hardly better than 8. */
const blocks = 8
const perBlock = 8
/** A column counts with so many of its standard deviations at most. */
const most = 8

/** Some rows of the past, by columns in standard deviations: a row that is far from all of them is strange. */
export interface Prototypes {
  readonly columns: number
  /** By column: what is taken off, and what is divided by. */
  readonly means: Float64Array
  readonly spreads: Float64Array
  /** Row-major, block after block. */
  readonly rows: Float64Array
}

/**
 * Draws rows of a row-major matrix. Nothing is fitted but the columns' moments. Isolation by nearest neighbours in small
 * random subsamples (T. Bandaragoda et al., "Isolation-based anomaly detection using nearest-neighbor ensembles",
 * Computational Intelligence 34, 2018), with the distance itself for the score.
 */
export function drawPrototypes(matrix: Float64Array, count: number, columns: number, random: Random): Prototypes {
  const means = new Float64Array(columns)
  const spreads = new Float64Array(columns)
  for (let column = 0; column < columns; column++) {
    let present = 0
    let mean = 0
    let sum = 0
    for (let row = 0; row < count; row++) {
      const value = matrix[row * columns + column]!
      if (!Number.isFinite(value)) continue
      present++
      const delta = value - mean
      mean += delta / present
      sum += delta * (value - mean)
    }
    means[column] = mean
    const spread = Math.sqrt(sum / Math.max(1, present))
    spreads[column] = Number.isFinite(spread) ? spread : 0
  }
  const rows = new Float64Array(blocks * perBlock * columns)
  for (let p = 0; p < blocks * perBlock; p++) {
    const from = random.int(count) * columns
    for (let column = 0; column < columns; column++)
      rows[p * columns + column] = scaled(matrix[from + column]!, means[column]!, spreads[column]!)
  }
  return { columns, means, spreads, rows }
}

/** ln of the mean over blocks of the distance to a block's nearest row, for each of the first `rows` of a matrix. */
export function distances(
  prototypes: Prototypes,
  matrix: Float64Array,
  rows: number,
  width: number,
  into: Float64Array,
): void {
  const { columns, means, spreads, rows: prototype } = prototypes
  const row = new Float64Array(columns)
  for (let r = 0; r < rows; r++) {
    for (let column = 0; column < columns; column++)
      row[column] = column < width ? scaled(matrix[r * width + column]!, means[column]!, spreads[column]!) : 0
    let sum = 0
    for (let block = 0, at = 0; block < blocks; block++) {
      let nearest = Number.POSITIVE_INFINITY
      for (let p = 0; p < perBlock; p++) {
        let distance = 0
        for (let column = 0; column < columns; column++, at++) {
          const difference = row[column]! - prototype[at]!
          distance += difference * difference
        }
        if (distance < nearest) nearest = distance
      }
      sum += Math.sqrt(nearest)
    }
    into[r] = Math.log(sum / blocks + 1e-9)
  }
}

/** A missing number is as good as the mean; a column that never varied says nothing. */
function scaled(value: number, mean: number, spread: number): number {
  if (Number.isNaN(value) || spread === 0) return 0
  return Math.max(-most, Math.min(most, (value - mean) / spread))
}
