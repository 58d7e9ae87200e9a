import type { KeyedDetector, SharedMemory, Surprisal } from './detector.ts'
import type { Event } from './event.ts'
import { type Evidence, firstFeature, intervalField, missingField, valueField } from './evidence.ts'
import { loadTime, SlotPages, storeTime } from './slot-pages.ts'
import { TailHistogram, type TailShape } from './tail-histogram.ts'

/** Weight, in events, of what all keys show in a key's own location and spread. */
const priorWeight = 2
/** A key's location moves towards a number by that many spreads at most: an anomaly moves it only to its edge. */
const locationEdge = 2
/**
 * The same for its spread. A field that is 0 but for one event in n keeps its spread only if the edge exceeds the root
 * of n; the value's is as narrow as its location's, since high amounts come in episodes that must not become ordinary.
 */
const spreadEdge = { value: 2, others: 20 } as const
/** No edge is narrower than this part of the spread over all keys, or a field that was constant could never begin to vary. */
const edgeOfAll = 0.5
const leastVariance = 1e-30
/** So many events at the edge in a row are no anomaly but a new normal: the key learns it whole. */
const releaseAfter = 20
/** The memory of recent excess (in spreads above 1.5, at most 6) fades by this factor an event. */
const excessDecay = 0.95
const excessFrom = 1.5
const excessMost = 6
const stepsOfDeviation: TailShape = {
  bins: 160,
  min: -6,
  width: 0.1,
  capacity: 16_000,
  priorShape: 0.3,
  priorCount: 20,
}
const stepsOfSurprisal: TailShape = { bins: 160, min: 0, width: 0.1, capacity: 16_000, priorShape: 1, priorCount: 20 }
/** The edge of what all keys show, in its spreads: wide enough for a field that is 0 but for one event in a thousand. */
const edgeOverKeys = 32
/** What all keys show is learnt with at least this weight an event. */
const globalWeightCap = 20_000

/** Numbers of a key before those of its fields: weight, run at the edge, excess, weight of the excess, time in two halves. */
const header = 6
const atWeight = 0
const atRun = 1
const atExcess = 2
const atExcessWeight = 3
const atTime = 4
/** Numbers a field: location (from the field's origin), variance. */
const perField = 2

export interface ProfileOptions {
  readonly name: string
  /** After so many events of a key, what it showed before weighs half. */
  readonly halfLifeEvents: number
}

/** Statistics of one field over all keys. */
class Field {
  /** The first number seen; locations are kept relative to it, so that 32 bits are enough for any offset. */
  origin = Number.NaN
  weight = 0
  mean = 0
  variance = 0
  readonly tail = new TailHistogram(stepsOfDeviation)

  /** @param spread the root of the variance */
  learn(x: number, spread: number): void {
    this.weight = Math.min(this.weight + 1, globalWeightCap)
    const rate = 1 / this.weight
    const delta = this.weight > 100 ? clamp(x - this.mean, edgeOverKeys * spread) : x - this.mean
    this.mean += rate * delta
    this.variance = Math.max(0, (1 - rate) * (this.variance + rate * delta * delta))
  }
}

/**
 * Running statistics of each key: an exponentially weighted location and spread of its value, of each feature and of
 * the logarithm of the time between its events, shrunk towards what all keys show while the key is young. Deviations
 * are calibrated over all keys, field by field, and joined; the value counts more when it is also high among all keys
 * and when the key's recent values were high too.
 *
 * Location and variance by West, "Updating Mean and Variance Estimates: An Improved Method", CACM 22 (1979).
 */
export class Profile implements KeyedDetector {
  readonly name: string
  readonly refractoryEvents = 0
  readonly #weightCap: number
  readonly #fields: Field[] = []
  readonly #amount = new TailHistogram(stepsOfDeviation)
  readonly #excess = new TailHistogram(stepsOfDeviation)
  readonly #joined = new TailHistogram(stepsOfSurprisal)
  readonly #shared = [this.#amount, this.#excess, this.#joined]
  readonly #sharedBytes = this.#shared.reduce((sum, tail) => sum + tail.bytes, 0)
  #pages = new SlotPages(header + perField * firstFeature)
  /** The profile's view of the event last observed: its value and interval in spreads of the key; NaN where absent. */
  valueDeviation = Number.NaN
  intervalDeviation = Number.NaN

  constructor(options: ProfileOptions) {
    this.name = options.name
    // A weight capped at 1/rate forgets half in ln 2 / rate events.
    this.#weightCap = Math.max(2, options.halfLifeEvents / Math.LN2)
  }

  get bytesPerKey(): number {
    return 4 * this.#pages.width
  }

  reset(slot: number): void {
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot)
    page.fill(0, at, at + this.#pages.width)
  }

  observe(slot: number, event: Event, evidence: Evidence): Surprisal {
    const fields = firstFeature + event.features.length
    if (header + perField * fields > this.#pages.width)
      this.#pages = this.#pages.widened(header + perField * (fields + (fields >> 3)))
    while (this.#fields.length < fields) this.#fields.push(new Field())
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot)
    const weight = page[at + atWeight]!
    const released = page[at + atRun]! >= releaseAfter
    /** The share of all keys in what is expected of the key. */
    const prior = priorWeight / (weight + priorWeight)
    const unsure = weight <= priorWeight || released
    const rate = 1 / Math.min(weight + 1, released ? Math.min(this.#weightCap, releaseAfter) : this.#weightCap)

    let most = 0
    let sum = 0
    let counted = 0
    let atEdge = false
    const { features } = event
    let missing = 0
    for (let j = 0; j < features.length; j++) if (Number.isNaN(features[j]!)) missing++
    for (let f = valueField; f < fields; f++) {
      let x = features[f - firstFeature]!
      if (f === valueField) x = event.value
      else if (f === intervalField) x = this.#interval(page, at, event.time)
      else if (f === missingField) x = features.length === 0 ? Number.NaN : missing
      if (Number.isNaN(x)) {
        if (f === valueField) this.valueDeviation = Number.NaN
        else if (f === intervalField) this.intervalDeviation = Number.NaN
        continue
      }
      const field = this.#fields[f]!
      if (Number.isNaN(field.origin)) field.origin = x
      const own = at + header + perField * f
      // A stored variance is never 0: a field that is new to an old key starts from what all keys show.
      const isNew = page[own + 1] === 0
      const share = isNew ? 1 : prior
      const spreadOfAll = Math.sqrt(field.variance)
      const mean = (1 - share) * (page[own]! + field.origin) + share * field.mean
      // The value's spreads are mixed, which is sharper while a key is young; a feature that has not varied yet has no
      // spread of its own, and mixing variances gives it more of all keys'.
      const mixed =
        f === valueField
          ? (1 - share) * Math.sqrt(page[own + 1]!) + share * spreadOfAll
          : Math.sqrt((1 - share) * page[own + 1]! + share * field.variance)
      const spread = Math.max(mixed, 1e-7 * Math.abs(mean), 1e-12)
      const deviation = (x - mean) / spread
      const known = field.weight > 0
      const y = Math.log(Math.abs(deviation) + 1e-9)
      let surprisal = known ? field.tail.surprisal(y) : 0
      if (f === valueField) {
        this.valueDeviation = deviation
        if (known) {
          const amountY = Math.log(Math.abs(x - field.mean) / Math.max(spreadOfAll, 1e-12) + 1e-9)
          const excessY = Math.log(page[at + atExcess]! / (page[at + atExcessWeight]! + priorWeight) + 1e-9)
          const deviates = surprisal
          surprisal += 0.5 * this.#amount.surprisal(amountY) + 0.5 * Math.min(this.#excess.surprisal(excessY), deviates)
          this.#amount.add(amountY)
          this.#excess.add(excessY)
        }
        page[at + atExcess] =
          page[at + atExcess]! * excessDecay + clamp(Math.max(deviation - excessFrom, 0), excessMost)
        page[at + atExcessWeight] = page[at + atExcessWeight]! * excessDecay + 1
      } else if (f === intervalField) {
        this.intervalDeviation = deviation
        // A key that falls silent shows nothing; one that suddenly sends many events does.
        if (deviation > 0) surprisal = 0
      }
      if (known) field.tail.add(y)
      if (surprisal > most) most = surprisal
      sum += surprisal
      counted++
      // A mean that is nothing but the fading rest of an old number is 0.
      const expected = Math.abs(mean) < 1e-3 * spreadOfAll ? 0 : mean
      if (f === intervalField) evidence.offer(f, Math.expm1(x), Math.expm1(expected), surprisal)
      else evidence.offer(f, x, expected, surprisal)

      if (isNew) {
        page[own] = x - field.origin
        page[own + 1] = Math.max(weight > priorWeight ? field.variance : 0, leastVariance)
      } else {
        if (!unsure && Math.abs(deviation) > locationEdge) atEdge = true
        const isValue = f === valueField
        const edge = isValue ? spread : Math.max(spread, edgeOfAll * spreadOfAll)
        const toMean = mean - field.origin - page[own]!
        const step = unsure ? x - mean : clamp(x - mean, locationEdge * edge)
        const width = unsure ? x - mean : clamp(x - mean, (isValue ? spreadEdge.value : spreadEdge.others) * edge)
        const delta = toMean + width
        page[own] = page[own]! + rate * (toMean + step)
        page[own + 1] = Math.max((1 - rate) * (page[own + 1]! + rate * delta * delta), leastVariance)
      }
      field.learn(x, spreadOfAll)
    }
    page[at + atWeight] = Math.min(weight + 1, this.#weightCap)
    page[at + atRun] = atEdge ? page[at + atRun]! + 1 : 0
    if (counted === 0) return 0
    const raw = most + sum / counted
    const surprisal = this.#joined.surprisal(raw)
    this.#joined.add(raw)
    return surprisal
  }

  /** ln(1 + seconds since the key's last event); NaN for a key's first and where there is no time. Learns the time. */
  #interval(page: Float32Array, at: number, time: number): number {
    if (Number.isNaN(time)) return Number.NaN
    const last = loadTime(page, at + atTime)
    // Not the latest time: one event ahead of its time must not make all that follow come at once.
    storeTime(page, at + atTime, time)
    if (page[at + atWeight] === 0) return Number.NaN
    return Math.log1p(Math.max(0, time - last) / 1000)
  }

  trim(slots: number): void {
    this.#pages.trim(slots)
  }

  save(slot: number, into: DataView, offset: number): void {
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot)
    for (let i = 0; i < this.#pages.width; i++) into.setFloat32(offset + 4 * i, page[at + i]!, true)
  }

  /** A memory of fewer fields leaves the others new; one of more makes room. */
  load(slot: number, from: DataView, offset: number, length = this.bytesPerKey): void {
    const width = length / 4
    if (!Number.isInteger(width) || width < header) throw new RangeError(`${length} bytes are no memory of a profile`)
    if (width > this.#pages.width) this.#pages = this.#pages.widened(width)
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot)
    for (let i = 0; i < width; i++) page[at + i] = from.getFloat32(offset + 4 * i, true)
    page.fill(0, at + width, at + this.#pages.width)
  }

  /** Little-endian: the calibrations of amount, excess and join, then each field's statistics and calibration. */
  readonly shared: SharedMemory = {
    save: () => {
      const bytes = new Uint8Array(this.#sharedBytes + fieldBytes * this.#fields.length)
      const view = new DataView(bytes.buffer)
      let at = 0
      for (const tail of this.#shared) {
        tail.save(view, at)
        at += tail.bytes
      }
      for (const { origin, weight, mean, variance, tail } of this.#fields) {
        view.setFloat64(at, origin, true)
        view.setFloat64(at + 8, weight, true)
        view.setFloat64(at + 16, mean, true)
        view.setFloat64(at + 24, variance, true)
        tail.save(view, at + 32)
        at += fieldBytes
      }
      return bytes
    },
    load: (bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const fields = (bytes.byteLength - this.#sharedBytes) / fieldBytes
      if (!Number.isInteger(fields) || fields < 0)
        throw new RangeError(`${bytes.byteLength} bytes are no shared memory of a profile`)
      let at = 0
      for (const tail of this.#shared) {
        tail.load(view, at)
        at += tail.bytes
      }
      this.#fields.length = Math.min(fields, this.#fields.length)
      for (let f = 0; f < fields; f++) {
        this.#fields[f] ??= new Field()
        const field = this.#fields[f]!
        field.origin = view.getFloat64(at, true)
        field.weight = view.getFloat64(at + 8, true)
        field.mean = view.getFloat64(at + 16, true)
        field.variance = view.getFloat64(at + 24, true)
        field.tail.load(view, at + 32)
        at += fieldBytes
      }
    },
  }
}

/** What a field takes in the shared memory. */
const fieldBytes = 32 + new Field().tail.bytes

function clamp(x: number, most: number): number {
  return Math.max(-most, Math.min(most, x))
}
