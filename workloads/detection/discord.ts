import type { KeyedDetector, Surprisal } from './detector.ts'
import type { Event } from './event.ts'
import { type Evidence, type Shape, valueField } from './evidence.ts'
import { addToTail, clearTail, excessOfTail, fitLength, type TailShape } from './tail-histogram.ts'

/**
 * A time scale remembers vectors of four values that lie `step` events apart. A lane is a ring of every step-th value, so
 * that a vector is contiguous in it; two lanes, half a step apart, remember twice as many vectors. Before a lane stand
 * its last three values once more, so that no vector wraps around.
 */
interface Scale {
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
const smoothedLength = 64
const floatsPerSlot = smoothedOffset + smoothedLength

const scales: readonly Scale[] = [
  { shape: 'spike', smoothed: false, step: 1, lanes: 1, length: rawLength, offset: 0 },
  { shape: 'pattern', smoothed: false, step: 8, lanes: 2, length: laneLength, offset: middleOffset },
  { shape: 'level', smoothed: true, step: 16, lanes: 2, length: laneLength, offset: slowOffset },
]

/** ln of a distance in standard deviations. */
const logDistance: TailShape = { bins: 140, min: -5, width: 0.1, capacity: 16_000, priorShape: 0.3, priorCount: 20 }
const countsPerSlot = scales.length * logDistance.bins

/** Doubles of a slot: values seen; the first of them; the smoothed value and the mean, relative to it; variance; fits. */
const seen = 0
const first = 1
const level = 2
const mean = 3
const variance = 4
const fits = 5
const doublesPerSlot = fits + scales.length * fitLength

/** Exponential smoothing of span 24. */
const smoothing = 0.08
/** Mean and variance are of all history; in a longer series the past fades. */
const longestMean = 20_000
/** Values before the first score, and those over which scores rise to their full weight. */
const firstScored = 100
const rampStart = 50
const rampLength = 350
/** Values are cut here, so that squares and sums stay finite. */
const largestValue = 1e37

const slotsPerPage = 64

interface Page {
  readonly doubles: Float64Array
  readonly floats: Float32Array
  readonly counts: Uint16Array
}

/**
 * Multi-scale nearest-neighbour discord: a value is strange when the last few values look like nothing in the key's own
 * past. On three time scales, the Euclidean distance of the latest four values to the nearest remembered vector, in
 * standard deviations of the key, becomes the surprisal of that distance among the key's own distances so far; the
 * answer is the mean of the largest of the three and of their mean. Causal, without a parameter per series; for few keys
 * with long series (sensors, metrics).
 *
 * Discord: E. Keogh, J. Lin & A. Fu, "HOT SAX: Efficiently Finding the Most Unusual Time Series Subsequence", ICDM 2005.
 */
export class Discord implements KeyedDetector {
  readonly name: string
  readonly layout = 'discord/1'
  readonly bytesPerKey = 8 * doublesPerSlot + 4 * floatsPerSlot + 2 * countsPerSlot
  readonly refractoryEvents = 120
  readonly #pages: Page[] = []
  /** What `#search` found: the squared distance of the nearest vector and the place of its newest value. */
  #distance = 0
  #nearest = 0

  constructor(name: string) {
    this.name = name
  }

  reset(slot: number): void {
    while (this.#pages.length * slotsPerPage <= slot) this.#pages.push(newPage())
    const { doubles, floats, counts } = this.#page(slot)
    const at = slot % slotsPerPage
    doubles.fill(0, at * doublesPerSlot, (at + 1) * doublesPerSlot)
    floats.fill(0, at * floatsPerSlot, (at + 1) * floatsPerSlot)
    for (let s = 0; s < scales.length; s++) {
      const fit = at * doublesPerSlot + fits + s * fitLength
      clearTail(logDistance, counts, at * countsPerSlot + s * logDistance.bins, doubles, fit)
    }
  }

  /** Looks at the event's value alone; a missing one scores 0 and is not learnt. */
  observe(slot: number, event: Event, evidence: Evidence): Surprisal {
    if (!Number.isFinite(event.value)) return 0
    const { doubles, floats, counts } = this.#page(slot)
    const at = slot % slotsPerPage
    const d = at * doublesPerSlot
    const f = at * floatsPerSlot
    const i = doubles[d + seen]!

    const value = Math.max(-largestValue, Math.min(largestValue, event.value))
    if (i === 0) doubles[d + first] = value
    // Relative to the first value, small changes of a large number survive single precision.
    const x = value - doubles[d + first]!
    const smoothed = doubles[d + level]! + smoothing * (x - doubles[d + level]!)
    const weight = Math.max(1 / (i + 1), 1 / longestMean)
    const deviation = x - doubles[d + mean]!
    doubles[d + seen] = i + 1
    doubles[d + level] = smoothed
    doubles[d + mean] = doubles[d + mean]! + weight * deviation
    doubles[d + variance] = (1 - weight) * (doubles[d + variance]! + weight * deviation * deviation)

    let largest = 0
    let sum = 0
    let expected = 0
    for (let s = 0; s < scales.length; s++) {
      const scale = scales[s]!
      const sample = Math.fround(scale.smoothed ? smoothed : x)
      if (i >= firstScored) {
        this.#search(floats, f, scale, i, sample)
        const y =
          this.#distance === 0 ? Number.NEGATIVE_INFINITY : Math.log(this.#distance / doubles[d + variance]!) / 2
        const fit = d + fits + s * fitLength
        const component = excessOfTail(doubles, fit, y)
        addToTail(logDistance, counts, at * countsPerSlot + s * logDistance.bins, doubles, fit, y)
        sum += component
        if (component > largest) {
          largest = component
          expected = sumOf(doubles[d + first]!, floats[this.#nearest]!)
          evidence.shape = scale.shape
        }
      }
      remember(floats, f, scale, i, sample)
    }
    floats[f + smoothedOffset + (i % smoothedLength)] = smoothed
    if (largest === 0) return 0
    const ramp = Math.min(1, (i - rampStart) / rampLength)
    evidence.offer(valueField, event.value, expected, ramp * largest)
    return (ramp * (largest + sum / scales.length)) / 2
  }

  trim(slots: number): void {
    this.#pages.length = Math.min(this.#pages.length, Math.ceil(slots / slotsPerPage))
  }

  save(slot: number, into: DataView, offset: number): void {
    const { doubles, floats, counts } = this.#page(slot)
    const at = slot % slotsPerPage
    let to = offset
    for (let i = 0; i < doublesPerSlot; i++, to += 8) into.setFloat64(to, doubles[at * doublesPerSlot + i]!, true)
    for (let i = 0; i < floatsPerSlot; i++, to += 4) into.setFloat32(to, floats[at * floatsPerSlot + i]!, true)
    for (let i = 0; i < countsPerSlot; i++, to += 2) into.setUint16(to, counts[at * countsPerSlot + i]!, true)
  }

  load(slot: number, from: DataView, offset: number, length = this.bytesPerKey): void {
    if (length !== this.bytesPerKey) throw new RangeError(`${length} bytes are no memory of a Discord`)
    const { doubles, floats, counts } = this.#page(slot)
    const at = slot % slotsPerPage
    let next = offset
    for (let i = 0; i < doublesPerSlot; i++, next += 8) doubles[at * doublesPerSlot + i] = from.getFloat64(next, true)
    for (let i = 0; i < floatsPerSlot; i++, next += 4) floats[at * floatsPerSlot + i] = from.getFloat32(next, true)
    for (let i = 0; i < countsPerSlot; i++, next += 2) counts[at * countsPerSlot + i] = from.getUint16(next, true)
  }

  #page(slot: number): Page {
    const page = this.#pages[Math.floor(slot / slotsPerPage)]
    if (page === undefined) throw new RangeError(`Cannot use slot ${slot} of a Discord: it was never reset`)
    return page
  }

  /** Finds, among what the scale remembers before value i, the vector nearest to the one that ends with `newest`. */
  #search(floats: Float32Array, f: number, scale: Scale, i: number, newest: number): void {
    const { smoothed, step, lanes, length } = scale
    const latest = smoothed ? f + smoothedOffset : f + lead
    const mask = smoothed ? smoothedLength - 1 : rawLength - 1
    const second = floats[latest + ((i - step) & mask)]!
    const third = floats[latest + ((i - 2 * step) & mask)]!
    const fourth = floats[latest + ((i - 3 * step) & mask)]!
    this.#distance = Number.POSITIVE_INFINITY
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
    let distance = this.#distance
    let nearest = this.#nearest
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
    this.#distance = distance
    this.#nearest = nearest
  }
}

/** Index of the first value that the lane keeps. */
function phaseOf({ step, lanes }: Scale, lane: number): number {
  return ((lane + 1) * step) / lanes - 1
}

/** Puts value i into the lane whose turn it is, if any. */
function remember(floats: Float32Array, f: number, scale: Scale, i: number, sample: number): void {
  const { step, lanes, length } = scale
  const turn = ((i + 1) * lanes) / step
  if (!Number.isInteger(turn)) return
  const lane = (turn - 1) % lanes
  const start = f + scale.offset + lane * (lead + length) + lead
  const at = Math.floor(i / step) % length
  floats[start + at] = sample
  if (at >= length - lead) floats[start + at - length] = sample
}

/** The sum of a number and one in single precision; 0 where nothing but that one's rounding is left. */
function sumOf(double: number, single: number): number {
  const sum = double + single
  return Math.abs(sum) <= Math.abs(double) * 2 ** -23 ? 0 : sum
}

function newPage(): Page {
  return {
    doubles: new Float64Array(slotsPerPage * doublesPerSlot),
    floats: new Float32Array(slotsPerPage * floatsPerSlot),
    counts: new Uint16Array(slotsPerPage * countsPerSlot),
  }
}
