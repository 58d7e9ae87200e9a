import type { Surprisal } from './detector.ts'

/**
 * How a raw score's history is kept: counts of y in equal bins, y being the raw score on a scale where its upper tail is
 * about exponential (ln of a distance; a score that already is a log-probability).
 */
export interface TailShape {
  readonly bins: number
  /** Lower edge of the first bin; what lies outside the bins is counted in the first or the last. */
  readonly min: number
  /** Width of a bin, in units of y. */
  readonly width: number
  /** All counts are halved when their total passes this (at most 65,535), so that the far past fades. */
  readonly capacity: number
  /** Mean excess of y over its upper 5 % point that is assumed beforehand, and the number of points that it weighs. */
  readonly priorShape: number
  readonly priorCount: number
}

/** Part of the history that lies above the point where the fitted tail begins; parts from 2 to 20 % were measured to be no better. */
const tail = 0.05
const tailSurprisal = -Math.log(tail)
/** Points above that point, at least. */
const minTailCount = 3
/** The fit is renewed every so many points: a power of two. */
const refitEvery = 16

/** A fit in a Float64Array: number of points counted, upper 5 % point u of y, mean excess of y over u. */
export const fitLength = 3

/** Forgets everything in the histogram at `counts[c]`, `fit[f]`. Until the first fit, u is out of reach. */
export function clearTail(shape: TailShape, counts: Uint16Array, c: number, fit: Float64Array, f: number): void {
  counts.fill(0, c, c + shape.bins)
  fit[f] = 0
  fit[f + 1] = Number.POSITIVE_INFINITY
  fit[f + 2] = shape.priorShape
}

/**
 * Counts y in the histogram at `counts[c]`, `fit[f]`; NaN is left out. Every 16 points it renews the fit, and says so
 * by returning true.
 */
export function addToTail(
  shape: TailShape,
  counts: Uint16Array,
  c: number,
  fit: Float64Array,
  f: number,
  y: number,
): boolean {
  if (Number.isNaN(y)) return false
  const at = c + binOf(shape, y)
  counts[at] = counts[at]! + 1
  let total = fit[f]! + 1
  if (total > shape.capacity) {
    total = 0
    for (let i = c; i < c + shape.bins; i++) {
      counts[i] = counts[i]! >> 1
      total += counts[i]!
    }
  }
  fit[f] = total
  if ((total & (refitEvery - 1)) !== 0) return false
  refit(shape, counts, c, fit, f)
  return true
}

/**
 * 0 up to the upper 5 % point u, beyond it -ln of the fitted tail probability of y. The raw score's tail is taken as
 * Pareto, so that y's is exponential and its mean excess over u the maximum-likelihood estimate (B. M. Hill, "A Simple
 * General Approach to Inference About the Tail of a Distribution", Annals of Statistics 3, 1975), shrunk to the prior.
 */
export function excessOfTail(fit: Float64Array, f: number, y: number): Surprisal {
  const beyond = y - fit[f + 1]!
  return beyond > 0 ? tailSurprisal + beyond / fit[f + 2]! : 0
}

/** One histogram with its own memory, which also knows the bulk. */
export class TailHistogram {
  readonly shape: TailShape
  /** Length of what `save` writes. */
  readonly bytes: number
  /** Fit, counts and sums side by side, as they are saved; little-endian, as every machine Node.js is built for by default. */
  readonly #memory: Uint8Array
  readonly #fit: Float64Array
  readonly #counts: Uint16Array
  /** Points in bin i and above, when the fit was last renewed. */
  readonly #above: Uint16Array

  constructor(shape: TailShape) {
    this.shape = shape
    const countsAt = 8 * fitLength
    const aboveAt = countsAt + 2 * shape.bins
    this.bytes = aboveAt + 2 * (shape.bins + 1)
    const memory = new ArrayBuffer(this.bytes)
    this.#memory = new Uint8Array(memory)
    this.#fit = new Float64Array(memory, 0, fitLength)
    this.#counts = new Uint16Array(memory, countsAt, shape.bins)
    this.#above = new Uint16Array(memory, aboveAt, shape.bins + 1)
    clearTail(shape, this.#counts, 0, this.#fit, 0)
  }

  /** Points that the counts hold. */
  get total(): number {
    return this.#fit[0]!
  }

  /** Counts y; NaN is left out. */
  add(y: number): void {
    if (!addToTail(this.shape, this.#counts, 0, this.#fit, 0, y)) return
    const counts = this.#counts
    const above = this.#above
    let sum = 0
    for (let i = this.shape.bins - 1; i >= 0; i--) {
      sum += counts[i]!
      above[i] = sum
    }
  }

  /** -ln of the tail probability beyond the upper 5 % point, 0 below it, for NaN and before the first 16 points. */
  excess(y: number): Surprisal {
    return excessOfTail(this.#fit, 0, y)
  }

  /**
   * -ln P(Y >= y): the empirical tail up to the upper 5 % point, the fitted one beyond. Continuous, and strictly
   * increasing from the first bin's lower edge on without end. 0 for NaN and before the first 16 points.
   */
  surprisal(y: number): Surprisal {
    const above = this.#above
    const total = above[0]!
    if (total === 0 || Number.isNaN(y)) return 0
    const upper = this.#fit[1]!
    const tailCount = Math.max(tail * total, minTailCount)
    // A raw score without bound must not become Infinity: two of them could not be compared.
    if (y >= upper) return Math.log(total / tailCount) + (Math.min(y, 1e300) - upper) / this.#fit[2]!
    const { min, width } = this.shape
    if (y <= min) return 0
    const bin = binOf(this.shape, y)
    const next = above[bin + 1]!
    const count = next + (above[bin]! - next) * (bin + 1 - (y - min) / width)
    // One more point, spread evenly below u, makes empty bins increase too.
    const bulk = (count - tailCount + (upper - y) / (upper - min)) / (total - tailCount + 1)
    return -Math.log((tailCount + bulk * (total - tailCount)) / total)
  }

  /** Little-endian. */
  save(into: DataView, offset: number): void {
    this.#placeIn(into, offset).set(this.#memory)
  }

  /** Reads what `save` wrote for the same shape. @throws RangeError where there are fewer bytes */
  load(from: DataView, offset: number): void {
    this.#memory.set(this.#placeIn(from, offset))
  }

  #placeIn(view: DataView, offset: number): Uint8Array {
    if (offset + this.bytes > view.byteLength)
      throw new RangeError(`${view.byteLength - offset} bytes are no histogram`)
    return new Uint8Array(view.buffer, view.byteOffset + offset, this.bytes)
  }
}

function binOf(shape: TailShape, y: number): number {
  const bin = (y - shape.min) / shape.width
  return bin <= 0 ? 0 : bin >= shape.bins ? shape.bins - 1 : bin | 0
}

function refit(shape: TailShape, counts: Uint16Array, c: number, fit: Float64Array, f: number): void {
  const { min, width } = shape
  const wanted = Math.max(tail * fit[f]!, minTailCount)
  let bin = shape.bins - 1
  while (counts[c + bin] === 0) bin--
  let count = 0
  let weighted = 0
  while (count + counts[c + bin]! < wanted) {
    count += counts[c + bin]!
    weighted += counts[c + bin]! * (min + (bin + 0.5) * width)
    bin--
  }
  // Of u's own bin, the part above u.
  const rest = wanted - count
  const part = (rest / counts[c + bin]!) * width
  const upper = min + (bin + 1) * width - part
  const excess = weighted - count * upper + (rest * part) / 2
  fit[f + 1] = upper
  // The bins cannot tell a tail that is shorter than half of one.
  fit[f + 2] = Math.max((excess + shape.priorShape * shape.priorCount) / (wanted + shape.priorCount), width / 2)
}
