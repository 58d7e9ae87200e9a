import type { Surprisal } from '../detection/detector.ts'
import { calibrationSample, columnReasons, type Model, type ModelSample, mediansOf } from '../detection/model.ts'
import { calibrate } from '../detection/score-calibration.ts'
import { checksum, seal, unseal } from '../detection/sealed-bytes.ts'
import type { OnnxRunner } from './onnx-runner.ts'

const kind = 'ONNX'
const format = 1
/** An explanation asks about so many inputs at most: those farthest from what is usual. */
const mostPerturbed = 32
/** Of fewer scores no tail can be told. */
const leastScores = 16
/** Points that the prior of the tail weighs. */
const priorCount = 10

interface Content {
  /** SHA-256 of the file. */
  readonly file: string
  readonly rowsSeen: number
  readonly columns: readonly string[]
  /** By column; null where no row had it. */
  readonly medians: readonly (number | null)[]
  /** Mean distance from the median, by column. */
  readonly spreads: readonly number[]
  /** Of past rows, ascending; none where the model says nothing of them. */
  readonly scores: readonly number[]
}

/** Another file than that which the artifact was calibrated for. */
export class ForeignModelError extends Error {}

/** Calibrates somebody else's model on past rows, as a forest is: then its scores are as rare as they say. */
export function fitOnnx({ rows, columns, rowsSeen }: ModelSample, runner: OnnxRunner): Model {
  const width = columns.length
  const count = width === 0 ? 0 : Math.floor(rows.length / width)
  const known = calibrationSample(rows, count, width)
  const sampled = width === 0 ? 0 : known.length / width
  const medians = mediansOf(known, sampled, width)
  const spreads = Array.from(medians, (median, column) => {
    let [sum, present] = [0, 0]
    for (let i = column; i < known.length; i += width) {
      if (Number.isNaN(known[i]!)) continue
      sum += Math.abs(known[i]! - median)
      present++
    }
    return present === 0 ? 0 : sum / present
  })
  const content = {
    file: runner.checksum,
    rowsSeen,
    columns,
    medians: Array.from(medians, orNull),
    spreads,
    scores: [],
  }
  const raw = onnxModel(content, runner).raw(known, sampled, width)
  const scores = raw.filter((score) => !Number.isNaN(score)).sort()
  return onnxModel({ ...content, scores: scores.length < leastScores ? [] : [...scores] }, runner)
}

/** @throws ForeignModelError, Error that names what is wrong with the bytes */
export function readOnnx(artifact: Uint8Array, runner: OnnxRunner): Model {
  const content = JSON.parse(new TextDecoder().decode(unseal(kind, format, artifact))) as Content
  if (content.file !== runner.checksum)
    throw new ForeignModelError(`it was calibrated for another file of detector ${runner.detector.name}`)
  return onnxModel(content, runner)
}

function onnxModel(content: Content, runner: OnnxRunner) {
  const { columns, rowsSeen, spreads } = content
  const { inputs } = runner.detector
  const medians = content.medians.map((median) => median ?? Number.NaN)
  const places = inputs.map((input) => columns.indexOf(input))
  const surprisalOf = content.scores.length === 0 ? undefined : calibration(content.scores)
  const payload = new TextEncoder().encode(JSON.stringify(content))

  /** How anomalous, in the model's own measure. A missing number is taken for what is usual. */
  function raw(matrix: Float64Array, rows: number, width: number): Float64Array {
    const given = new Float64Array(rows * places.length)
    for (let row = 0; row < rows; row++)
      for (let i = 0; i < places.length; i++) {
        const place = places[i]!
        const x = place >= 0 && place < width ? matrix[row * width + place]! : Number.NaN
        given[row * places.length + i] = Number.isNaN(x) ? (medians[place] ?? Number.NaN) : x
      }
    return runner.score(given, rows)
  }

  function score(matrix: Float64Array, rows: number, width: number, surprisals: Float64Array): void {
    if (surprisalOf === undefined) {
      surprisals.fill(Number.NaN, 0, rows)
      return
    }
    const scores = raw(matrix, rows, width)
    for (let row = 0; row < rows; row++)
      surprisals[row] = Number.isNaN(scores[row]!) ? Number.NaN : surprisalOf(scores[row]!)
  }

  function explain(row: Float64Array, surprisal: Surprisal) {
    if (!(surprisal > 0)) return []
    const width = columns.length
    const far = (place: number) => Math.abs((row[place] ?? Number.NaN) - medians[place]!) / (spreads[place]! || 1)
    const asked = places
      .filter((place) => far(place) > 0)
      .sort((one, other) => far(other) - far(one) || one - other)
      .slice(0, mostPerturbed)
    const variants = new Float64Array(asked.length * width).fill(Number.NaN)
    for (const [i, place] of asked.entries()) {
      variants.set(row.subarray(0, width), i * width)
      variants[i * width + place] = medians[place]!
    }
    const rest = new Float64Array(asked.length)
    score(variants, asked.length, width, rest)
    const drops = new Float64Array(width)
    for (const [i, place] of asked.entries()) drops[place] = Math.max(0, surprisal - rest[i]!) || 0
    return columnReasons({ columns, medians, row, surprisal, drops })
  }

  return {
    version: `onnx-${rowsSeen}-${checksum(payload).toString(16).padStart(8, '0')}`,
    columns,
    rowsSeen,
    raw,
    score,
    explain,
    encode: () => seal(kind, format, payload),
  }
}

/** Scores of any measure: the tail's prior is that of an exponential one, by the points below it. */
function calibration(scores: readonly number[]) {
  const at = (share: number) => scores[Math.min(scores.length - 1, Math.floor(share * scores.length))]!
  const spread = (at(0.95) - at(0.8)) / Math.log(4)
  const least = 1e-9 * Math.max(1, Math.abs(at(0.95)))
  return calibrate(Float64Array.from(scores), { excess: Math.max(spread, least), count: priorCount })
}

const orNull = (x: number): number | null => (Number.isNaN(x) ? null : x)
