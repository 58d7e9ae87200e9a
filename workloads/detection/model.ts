import type { Surprisal } from './detector.ts'
import { type Forest, fitForest, scoreRows } from './isolation-forest.ts'
import { median } from './median.ts'
import { distances, drawPrototypes, type Prototypes } from './prototypes.ts'
import { random } from './random.ts'
import { calibrate, type TailPrior } from './score-calibration.ts'
import { checksum, seal, unseal } from './sealed-bytes.ts'

/** What a model is fitted on; plain data, so that it can be handed to a worker. */
export interface ModelFit {
  /** A sample of past rows, row-major: as many numbers a row as there are columns; NaN where a row lacked one. */
  readonly rows: Float64Array
  readonly columns: readonly string[]
  /** Rows that the sample stands for. */
  readonly rowsSeen: number
  readonly trees: number
  readonly sampleSize: number
  readonly seed: number | string
}

/** The same without the options of a detector. */
export type ModelSample = Pick<ModelFit, 'rows' | 'columns' | 'rowsSeen' | 'seed'>

/** A fitted model: immutable, and the same for the same `ModelFit`. */
export interface Model {
  /** `forest-<rows seen>-<checksum of its content>` */
  readonly version: string
  readonly columns: readonly string[]
  readonly rowsSeen: number
  /**
   * Surprisal of each of the first `rows` rows of a row-major matrix. Columns beyond the model's are left out, columns
   * that the matrix does not have count as missing.
   */
  score(matrix: Float64Array, rows: number, columns: number, surprisals: Float64Array): void
  /** The columns that made the row as surprising as it is, at most three, strongest first. */
  explain(row: Float64Array, surprisal: Surprisal): ColumnReason[]
  /** The artifact that `decodeModel` reads. */
  encode(): Uint8Array
}

export interface ColumnReason {
  readonly column: string
  /** Null where missing. */
  readonly observed: number | null
  /** The median of past rows; null where none had the column. */
  readonly expected: number | null
  /** Part of the surprisal that goes away if the expected takes the place of the observed, 0 to 1. */
  readonly contribution: number
}

const kind = 'MODL'
const format = 2
/** Models of a forest alone. */
const formerFormat = 1
/** Rows of the sample that scores are calibrated on, and medians taken from. */
const calibrationRows = 2048
const reasons = 3

/** In ordinary streams a forest's scores exceed their upper 5 % point by about 0.02. */
const tailPrior: TailPrior = { excess: 0.02, count: 10 }
/** The same of the logarithm of distances from prototypes. */
const distancePrior: TailPrior = { excess: 0.3, count: 10 }

interface Content {
  readonly columns: readonly string[]
  readonly rowsSeen: number
  readonly forest: Forest
  /** By column; NaN where no row had it. */
  readonly medians: Float64Array
  /** Scores of the calibration rows, ascending. */
  readonly scores: Float64Array
  /** Absent in a model of the former format. */
  readonly prototypes: Prototypes | undefined
  /** Their distances from the calibration rows, ascending. */
  readonly distances: Float64Array
}

/** @throws RangeError for fewer than two rows */
export function fitModel(fit: ModelFit): Model {
  const { columns, rowsSeen } = fit
  const width = columns.length
  // Rows without columns are all alike.
  const count = width === 0 ? Math.min(rowsSeen, fit.sampleSize) : Math.floor(fit.rows.length / width)
  const forest = fitForest(fit.rows, count, width, {
    trees: fit.trees,
    sampleSize: fit.sampleSize,
    random: random(`${fit.seed}/${rowsSeen}`),
  })
  const known = calibrationSample(fit.rows, count, width)
  const scores = new Float64Array(Math.min(count, calibrationRows))
  scoreRows(forest, known, scores.length, width, scores)
  const prototypes = drawPrototypes(fit.rows, count, width, random(`${fit.seed}/${rowsSeen}/prototypes`))
  const far = new Float64Array(scores.length)
  distances(prototypes, known, far.length, width, far)
  const medians = mediansOf(known, scores.length, width)
  return modelOf({ columns, rowsSeen, forest, medians, scores: scores.sort(), prototypes, distances: far.sort() })
}

/**
 * Reads what `encode` wrote.
 * @throws Error that names what is wrong with the bytes
 */
export function decodeModel(bytes: Uint8Array): Model {
  const isFormer = bytes.length > 8 && bytes[8] === formerFormat
  return modelOf(read(unseal(kind, isFormer ? formerFormat : format, bytes)))
}

function modelOf(content: Content): Model {
  const { columns, rowsSeen, forest, medians, prototypes } = content
  const surprisalOf = calibrate(content.scores, tailPrior)
  const surprisalOfDistance = prototypes === undefined ? undefined : calibrate(content.distances, distancePrior)

  function score(matrix: Float64Array, rows: number, width: number, surprisals: Float64Array): void {
    scoreRows(forest, matrix, rows, width, surprisals)
    for (let row = 0; row < rows; row++) surprisals[row] = surprisalOf(surprisals[row]!)
    if (prototypes === undefined || surprisalOfDistance === undefined) return
    const far = new Float64Array(rows)
    distances(prototypes, matrix, rows, width, far)
    for (let row = 0; row < rows; row++) surprisals[row] = (surprisals[row]! + surprisalOfDistance(far[row]!)) / 2
  }

  function explain(row: Float64Array, surprisal: Surprisal): ColumnReason[] {
    if (surprisal <= 0) return []
    const width = columns.length
    const variants = new Float64Array(width * width).fill(Number.NaN)
    for (let column = 0; column < width; column++) {
      variants.set(row.subarray(0, width), column * width)
      variants[column * width + column] = medians[column]!
    }
    const without = new Float64Array(width)
    score(variants, width, width, without)
    const drops = without.map((rest) => Math.max(0, surprisal - rest))
    return columnReasons({ columns, medians, row, surprisal, drops })
  }

  return {
    version: `forest-${rowsSeen}-${checksum(write(content)).toString(16).padStart(8, '0')}`,
    columns,
    rowsSeen,
    score,
    explain,
    encode: () => seal(kind, prototypes === undefined ? formerFormat : format, write(content)),
  }
}

export interface ColumnDrops {
  readonly columns: readonly string[]
  readonly medians: ArrayLike<number>
  readonly row: Float64Array
  readonly surprisal: Surprisal
  /** What goes away of the surprisal if the column is as expected. */
  readonly drops: Float64Array
}

/** The columns that most of a surprisal goes away with, at most three, strongest first. */
export function columnReasons({ columns, medians, row, surprisal, drops }: ColumnDrops): ColumnReason[] {
  const whole = Math.max(
    surprisal,
    drops.reduce((sum, drop) => sum + drop, 0),
  )
  return Array.from(drops, (drop, column) => ({
    column: columns[column]!,
    observed: orNull(row[column] ?? Number.NaN),
    expected: orNull(medians[column]!),
    contribution: drop / whole,
  }))
    .filter(({ contribution }) => contribution > 0)
    .sort((one, other) => other.contribution - one.contribution)
    .slice(0, reasons)
}

function orNull(x: number): number | null {
  return Number.isNaN(x) ? null : x
}

/** Rows evenly spread over the sample. */
export function calibrationSample(rows: Float64Array, count: number, width: number): Float64Array {
  if (count <= calibrationRows) return rows.subarray(0, count * width)
  const sample = new Float64Array(calibrationRows * width)
  for (let i = 0; i < calibrationRows; i++) {
    const from = Math.floor((i * count) / calibrationRows) * width
    sample.set(rows.subarray(from, from + width), i * width)
  }
  return sample
}

/** By column, of those rows that have it; NaN where none has. */
export function mediansOf(rows: Float64Array, count: number, width: number): Float64Array {
  const values = new Float64Array(count)
  return Float64Array.from({ length: width }, (_, column) => {
    let present = 0
    for (let i = column; i < rows.length; i += width) if (!Number.isNaN(rows[i]!)) values[present++] = rows[i]!
    return median(values.subarray(0, present))
  })
}

/** What precedes the arrays in an artifact, as JSON. */
interface Header {
  readonly columns: readonly string[]
  readonly rowsSeen: number
  readonly trees: number
  readonly height: number
  readonly expectedPath: number
  /** Number of scores. */
  readonly calibrated: number
  /** Numbers of the prototypes; 0 or absent where there are none. */
  readonly prototypes?: number
}

/** Length of the header, header, thresholds, leaves, medians, scores, distances and prototypes, slots; little-endian. */
function write({ columns, rowsSeen, forest, medians, scores, ...content }: Content): Uint8Array {
  const { count: trees, height, expectedPath, thresholds, leaves, slots } = forest
  const calibrated = scores.length
  const { prototypes } = content
  const rest = prototypes && [content.distances, prototypes.means, prototypes.spreads, prototypes.rows]
  const header: Header = {
    ...{ columns, rowsSeen, trees, height, expectedPath, calibrated },
    ...(prototypes && { prototypes: prototypes.rows.length }),
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  const numbers = [thresholds, leaves, medians, scores, ...(rest ?? [])]
  const length = 4 + text.length + 8 * numbers.reduce((sum, array) => sum + array.length, 0) + 4 * slots.length
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, text.length, true)
  bytes.set(text, 4)
  let at = 4 + text.length
  for (const array of [...numbers, slots]) {
    bytes.set(bytesOf(array), at)
    at += array.byteLength
  }
  return bytes
}

function read(bytes: Uint8Array): Content {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const textLength = view.getUint32(0, true)
  const header: Header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + textLength)))
  const { columns, rowsSeen, trees, height, expectedPath, calibrated } = header
  const nodes = trees * (1 << height)
  let at = 4 + textLength
  const filled = <A extends Float64Array | Int32Array>(array: A): A => {
    bytesOf(array).set(bytes.subarray(at, at + array.byteLength))
    at += array.byteLength
    return array
  }
  const thresholds = filled(new Float64Array(nodes))
  const leaves = filled(new Float64Array(nodes))
  const medians = filled(new Float64Array(columns.length))
  const scores = filled(new Float64Array(calibrated))
  const hasPrototypes = header.prototypes !== undefined
  const far = filled(new Float64Array(hasPrototypes ? calibrated : 0))
  const prototypes = hasPrototypes
    ? {
        columns: columns.length,
        means: filled(new Float64Array(columns.length)),
        spreads: filled(new Float64Array(columns.length)),
        rows: filled(new Float64Array(header.prototypes!)),
      }
    : undefined
  const slots = filled(new Int32Array(nodes))
  const forest = { count: trees, height, columns: columns.length, slots, thresholds, leaves, expectedPath }
  return { columns, rowsSeen, forest, medians, scores, prototypes, distances: far }
}

/** The array's own memory; little-endian, as every machine that Node.js is built for by default. */
function bytesOf(array: Float64Array | Int32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}
