import type { Shape } from './evidence.ts'

/**
 * A time scale remembers vectors of four values that lie `step` events apart. A lane is a ring of every step-th value, so
 * that a vector is contiguous in it; two lanes, half a step apart, remember twice as many vectors. Before a lane stand
 * its last three values once more, so that no vector wraps around.
 */
export interface Scale {
  readonly shape: Shape
  readonly smoothed: boolean
  readonly step: number
  readonly lanes: number
  /** Values in a lane: a power of two. */
  readonly length: number
  /** Where the first lane begins among the floats of a slot. */
  readonly offset: number
}

const lead = 3
const rawLength = 512
const laneLength = 256
const middleOffset = lead + rawLength
const slowOffset = middleOffset + 2 * (lead + laneLength)
/** After the lanes, a ring of the latest smoothed values; the latest raw ones are those of the first lane. */
const smoothedOffset = slowOffset + 2 * (lead + laneLength)
const smoothedLength = 3 * 16
/** Where in the first lane the vector is that was nearest to the latest one. */
const nearestOffset = smoothedOffset + smoothedLength
/** Floats of one key. */
export const vectorFloats = nearestOffset + 1

export const scales: readonly Scale[] = [
  { shape: 'spike', smoothed: false, step: 1, lanes: 1, length: rawLength, offset: 0 },
  { shape: 'pattern', smoothed: false, step: 8, lanes: 2, length: laneLength, offset: middleOffset },
  { shape: 'level', smoothed: true, step: 16, lanes: 2, length: laneLength, offset: slowOffset },
]

/** Finds the remembered vector that is nearest to the latest one. What it found stands until the next search. */
export class NearestVector {
  /** Squared Euclidean distance. */
  distance = 0
  /** Place of its newest value among the floats. */
  place = 0

  /** Among what the scale remembers before value i, the vector nearest to the one that ends with `newest`. */
  search(floats: Float32Array, f: number, scale: Scale, i: number, newest: number): void {
    const { smoothed, step, lanes, length } = scale
    const second = floats[f + placeOfLatest(smoothed, i - step)]!
    const third = floats[f + placeOfLatest(smoothed, i - 2 * step)]!
    const fourth = floats[f + placeOfLatest(smoothed, i - 3 * step)]!
    this.distance = Number.POSITIVE_INFINITY
    for (let lane = 0; lane < lanes; lane++) {
      const start = f + scale.offset + lane * (lead + length) + lead
      const size = Math.ceil((i - phaseOf(scale, lane)) / step)
      if (size < length) {
        this.#scan(floats, start + lead, start + size, newest, second, third, fourth)
      } else {
        // The oldest value is at `head`, the newest just before it: no vector reaches across.
        const head = size % length
        this.#scan(floats, start + Math.max(0, head + lead - length), start + head, newest, second, third, fourth)
        this.#scan(floats, start + head + lead, start + length, newest, second, third, fourth)
      }
    }
  }

  /** The vectors whose newest values are at `from` to `to - 1`. Slides over them: one load a vector. */
  #scan(floats: Float32Array, from: number, to: number, a: number, b: number, c: number, d: number): void {
    let distance = this.distance
    let nearest = this.place
    let second = floats[from - 1]!
    let third = floats[from - 2]!
    let fourth = floats[from - 3]!
    for (let j = from; j < to; j++) {
      const newest = floats[j]!
      const da = a - newest
      const db = b - second
      const dc = c - third
      const dd = d - fourth
      const candidate = da * da + db * db + (dc * dc + dd * dd)
      if (candidate < distance) {
        distance = candidate
        nearest = j
      }
      fourth = third
      third = second
      second = newest
    }
    this.distance = distance
    this.place = nearest
  }
}

/** Puts value i into the lane whose turn it is, if any. */
export function remember(floats: Float32Array, f: number, scale: Scale, i: number, sample: number): void {
  const { step, lanes, length } = scale
  const turn = ((i + 1) * lanes) / step
  if (!Number.isInteger(turn)) return
  const lane = (turn - 1) % lanes
  const start = f + scale.offset + lane * (lead + length) + lead
  const at = Math.floor(i / step) % length
  floats[start + at] = sample
  if (at >= length - lead) floats[start + at - length] = sample
}

export function rememberSmoothed(floats: Float32Array, f: number, i: number, smoothed: number): void {
  floats[f + placeOfLatest(true, i)] = smoothed
}

/** Where value i is among the latest. */
function placeOfLatest(smoothed: boolean, i: number): number {
  return smoothed ? smoothedOffset + (i % smoothedLength) : lead + (i & (rawLength - 1))
}

/** What followed the vector that was nearest to the one before this value: what the key's past says of it. */
export function follower(floats: Float32Array, f: number): number {
  const place = floats[f + nearestOffset]! + 1
  return floats[f + (place === lead + rawLength ? lead : place)]!
}

export function rememberNearest(floats: Float32Array, f: number, place: number): void {
  floats[f + nearestOffset] = place - f
}

/** Index of the first value that the lane keeps. */
function phaseOf({ step, lanes }: Scale, lane: number): number {
  return ((lane + 1) * step) / lanes - 1
}
