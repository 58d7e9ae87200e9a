import type { FormerMemory, KeyedDetector, SharedMemory, Surprisal } from './detector.ts'
import type { Event } from './event.ts'
import { type Evidence, firstFeature, intervalField, missingField, valueField } from './evidence.ts'
import { logDeviation, ProfileField } from './profile-field.ts'
import { currentKey, currentShared } from './profile-former.ts'
import {
  atExcess,
  atExcessWeight,
  atLate,
  atPace,
  atTime,
  atWeight,
  groupWidth,
  header,
  mostPresence,
  perGroup,
  presenceIn,
  runIn,
  widthFor,
  withBits,
} from './profile-layout.ts'
import { loadTime, SlotPages, storeTime } from './slot-pages.ts'
import { TailHistogram, type TailShape } from './tail-histogram.ts'

/** Weight, in events, of what all keys show in a key's own location and spread. */
const priorWeight = 2
/** That weight shrinks where a key varies by less than this part of the spread over all keys, to nothing where it is constant. */
const ownLevels = 0.25
/** A key's location moves towards a number by that many spreads at most: an anomaly moves it only to its edge. */
const locationEdge = 2
/**
 * The same for its spread, and at most the root of the key's weight: no number moves a variance by more than itself. A field
 * that is 0 but for one event in n keeps its spread only if the edge exceeds the root of n; the value's is as narrow as
 * its location's, since high amounts come in episodes that must not become ordinary.
 */
const spreadEdge = { young: 5, value: 2, others: 20 } as const
/** No edge is narrower than this part of the spread over all keys, or a field that was constant could never begin to vary. */
const edgeOfAll = 0.5
/** Greater than 0, which says that the field is new to the key. */
const leastSpread = 2 ** -100
/** So many more numbers beyond the edge than within it are no anomaly but a new normal: the key learns it anew. */
const releaseAfter = 20
/** If the number that it began from was an anomaly itself, so many more tell. */
const doubt = 3
/** If that comes again within so many, it is the spread that has grown: it is multiplied. */
const young = 20
const growth = 8
/** After so many in a row beyond the edge, what follows is the same episode: calibrations count it no more. */
const episode = 3
/** A second number so many spreads from the first is no average with it: the one nearer to all keys is kept. */
const farApart = 8
/** A field has no history before so many numbers of all keys. */
const leastHistory = 50
/** What differs by less than this part of a location may be its rounding to single precision. */
const singlePrecision = 2 ** -22
/** A key usually carries a feature whose presence counts so much. */
const usual = 4
const mostRun = 31
/** The memory of recent excess (in spreads above 1.5, at most 6) fades by this factor an event. */
const excessDecay = 0.95
const excessFrom = 1.5
const excessMost = 6
const stepsOfSurprisal: TailShape = { bins: 160, min: 0, width: 0.1, capacity: 16_000, priorShape: 1, priorCount: 20 }

export interface ProfileOptions {
  readonly name: string
  /** After so many events of a key, what it showed before weighs half. */
  readonly halfLifeEvents: number
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
  readonly layout = 'profile/2'
  readonly refractoryEvents = 0
  readonly #weightCap: number
  readonly #fields: ProfileField[] = []
  readonly #amount = new TailHistogram(logDeviation)
  readonly #excess = new TailHistogram(logDeviation)
  /** How far the first numbers of a key's fields lie from all keys. */
  readonly #first = new TailHistogram(logDeviation)
  readonly #joined = new TailHistogram(stepsOfSurprisal)
  readonly #shared = [this.#amount, this.#excess, this.#first, this.#joined]
  readonly #sharedBytes = this.#shared.reduce((sum, tail) => sum + tail.bytes, 0)
  #pages = new SlotPages(widthFor(firstFeature))
  /** The profile's view of the event last observed: its value and interval in spreads of the key; NaN where absent. */
  valueDeviation = Number.NaN
  intervalDeviation = Number.NaN
  /** How many features it lacked that its key usually carries. */
  missing = 0
  /** Events whose time was not later than their key's latest. */
  notLater = 0
  /** Numbers of a key that must not become normal. */
  guard: { bars(slot: number, field: number, x: number): boolean } | undefined
  #slot = 0
  /** Of the event being observed: the largest surprisal of a field, their sum and number; whether a field began
   *  anew, or goes on beyond its edge. */
  #most = 0
  #sum = 0
  #scored = 0
  #startsAnew = false
  #inEpisode = false

  constructor(options: ProfileOptions) {
    this.name = options.name
    // A weight capped at 1/rate forgets half in ln 2 / rate events.
    this.#weightCap = Math.max(2, options.halfLifeEvents / Math.LN2)
  }

  get bytesPerKey(): number {
    return 4 * this.#pages.width
  }

  reset(slot: number): void {
    this.#pages.clear(slot)
  }

  observe(slot: number, event: Event, evidence: Evidence): Surprisal {
    const { features } = event
    const fields = firstFeature + features.length
    if (widthFor(fields) > this.#pages.width) this.#pages = this.#pages.widened(widthFor(fields + (fields >> 3)))
    while (this.#fields.length < fields) this.#fields.push(new ProfileField())
    this.#slot = slot
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot)
    const missing = this.#countMissing(page, at, features)
    this.missing = Number.isNaN(missing) ? 0 : missing
    const interval = this.#interval(page, at, event.time)
    this.valueDeviation = Number.NaN
    this.intervalDeviation = Number.NaN
    this.#startsAnew = false
    this.#inEpisode = false
    this.#most = 0
    this.#sum = 0
    this.#scored = 0
    this.#see(page, at, valueField, event.value, evidence)
    this.#see(page, at, intervalField, interval, evidence)
    this.#see(page, at, missingField, missing, evidence)
    for (let f = firstFeature; f < fields; f++) this.#see(page, at, f, features[f - firstFeature]!, evidence)
    page[at + atWeight] = Math.min(page[at + atWeight]! + 1, this.#weightCap)
    page[at + atPace] = this.#startsAnew ? 1 : Math.min(page[at + atPace]! + 1, this.#weightCap)
    if (this.#scored === 0) return 0
    const raw = this.#most + this.#sum / this.#scored
    // Among constants alone anything would be rare: what no field finds surprising is not.
    const surprisal = Math.min(raw, this.#joined.surprisal(raw))
    if (!this.#inEpisode) this.#joined.add(raw)
    return surprisal
  }

  /** The next interval counts from here. */
  pass(slot: number, { time }: Event): void {
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot) + atTime
    if (time > loadTime(page, at)) storeTime(page, at, time)
  }

  /** Scores one field against what is expected of the key, then learns it. */
  #see(page: Float32Array, at: number, f: number, x: number, evidence: Evidence): void {
    if (Number.isNaN(x)) return
    const field = this.#fields[f]!
    const { overKeys, withinKeys } = field
    const weight = page[at + atWeight]!
    const group = at + header + groupWidth * Math.floor(f / perGroup)
    const own = group + 1 + 2 * (f % perGroup)
    const location = page[own]!
    const ownSpread = page[own + 1]!
    const isNew = ownSpread === 0
    const presence = isNew ? 0 : presenceIn(page[group]!, f % perGroup)
    let run = isNew ? 0 : runIn(page[group]!, f % perGroup)
    const typical = withinKeys.weight === 0 ? overKeys.spread : withinKeys.spread
    let units = field.ofNumber(x)
    let mean = overKeys.mean
    let mixed = overKeys.spread
    if (!isNew) {
      const share = priorWeight / (weight + priorWeight)
      // The value's spreads are mixed, which is sharper while a key is young; a feature that has not varied yet has no
      // spread of its own, and mixing variances gives it more of all keys'.
      mixed =
        f === valueField
          ? (1 - share) * ownSpread + share * typical
          : Math.sqrt((1 - share) * ownSpread * ownSpread + share * typical * typical)
      const varies = (presence === 1 ? typical : ownSpread) / (ownLevels * overKeys.spread)
      const prior = varies >= 1 ? priorWeight : varies > 0 ? priorWeight * varies : 0
      mean = (weight * location + prior * overKeys.mean) / (weight + prior)
    }
    const least = field.leastSpread(mean)
    const spread = Math.max(mixed, least)
    let deviation = (units - mean) / Math.max(spread, singlePrecision * Math.abs(mean))
    if (presence === 1) {
      // One number is no history: what repeats it is ordinary, and so is what would be for other keys.
      const ofAll = (units - overKeys.mean) / Math.max(overKeys.spread, field.leastSpread(units))
      const ofFirst = (units - location) / spread
      if (Math.abs(ofAll) < Math.abs(deviation)) deviation = ofAll
      if (Math.abs(ofFirst) < Math.abs(deviation)) deviation = ofFirst
    }
    if (f === valueField) this.valueDeviation = deviation
    else if (f === intervalField) this.intervalDeviation = deviation
    const isBarred = this.guard?.bars(this.#slot, f, f === intervalField ? Math.expm1(x) : x) === true
    if (overKeys.weight >= leastHistory) {
      // What must not become normal is not counted either, like what goes on for long.
      const surprisal = this.#score(page, at, f, field, isNew, isBarred ? mostRun : run, deviation, units)
      if (surprisal > 0) {
        const expected = field.expectedNumber(mean)
        if (f === intervalField) evidence.offer(f, Math.expm1(x), Math.expm1(expected), surprisal)
        else evidence.offer(f, x, expected, surprisal)
      }
      if (surprisal > this.#most) this.#most = surprisal
      this.#sum += surprisal
      this.#scored++
    }
    if (f === valueField) {
      page[at + atExcess] = page[at + atExcess]! * excessDecay + clamp(Math.max(deviation - excessFrom, 0), excessMost)
      page[at + atExcessWeight] = page[at + atExcessWeight]! * excessDecay + 1
    }

    if (isBarred) return
    if (!field.settle(x)) return
    units = field.ofNumber(x)
    if (isNew) {
      page[own] = units
      page[own + 1] = Math.max(weight > priorWeight ? typical : 0, leastSpread)
    } else if (presence === 1 && Math.abs(units - location) > farApart * Math.max(typical, overKeys.spread, least)) {
      if (Math.abs(units - overKeys.mean) < Math.abs(location - overKeys.mean)) page[own] = units
    } else {
      const pace = page[at + atPace]!
      if (weight > priorWeight && Math.abs(deviation) > locationEdge) run = Math.min(run + 1, mostRun)
      else run = pace <= young ? run >> 1 : Math.max(run - 1, 0)
      if (run >= releaseAfter) {
        if (pace <= young) page[own + 1] = growth * Math.max(ownSpread, least)
        page[own] = units
        run = releaseAfter - doubt
        this.#startsAnew = true
      } else {
        const rate = 1 / Math.min(pace + 1, this.#weightCap)
        const isValue = f === valueField
        const edge = isValue ? spread : Math.max(spread, edgeOfAll * overKeys.spread)
        const widest = pace <= young ? spreadEdge.young : isValue ? spreadEdge.value : spreadEdge.others
        const delta = clamp(units - location, Math.min(widest, Math.max(spreadEdge.young, Math.sqrt(pace))) * edge)
        page[own] = location + rate * clamp(units - location, locationEdge * edge)
        const variance = (1 - rate) * (ownSpread * ownSpread + rate * delta * delta)
        page[own + 1] = Math.max(Math.sqrt(variance), leastSpread)
      }
    }
    page[group] = withBits(page[group]!, f % perGroup, Math.min(presence + 1, mostPresence), run)
    const leastOfAll = field.leastSpread(overKeys.mean)
    if (!isNew) {
      // A first guess, as if the others had been 0.
      if (withinKeys.spread === 0)
        withinKeys.spread = Math.min(overKeys.spread, Math.abs(units - location)) / Math.sqrt(withinKeys.weight + 1)
      withinKeys.learn(units - location, leastOfAll)
    }
    overKeys.learn(units, leastOfAll)
  }

  /** Surprisal of a deviation from what was expected of the key; counts it in the calibrations. */
  #score(
    page: Float32Array,
    at: number,
    f: number,
    field: ProfileField,
    isNew: boolean,
    run: number,
    deviation: number,
    units: number,
  ): Surprisal {
    const size = Math.abs(deviation)
    const y = Math.log(size + 1e-9)
    const tail = isNew ? this.#first : field.tail
    // What lies within a spread of the expected is ordinary, even where everything else lies nearer.
    let surprisal = Math.min(size, 1) * tail.surprisal(y)
    if (run < episode || size <= locationEdge) tail.add(y)
    else this.#inEpisode = true
    if (f === intervalField) return deviation > 0 ? 0 : surprisal
    if (f !== valueField) return surprisal
    const { overKeys } = field
    const amountY = Math.log(
      Math.abs(units - overKeys.mean) / Math.max(overKeys.spread, field.leastSpread(units)) + 1e-9,
    )
    const excessY = Math.log(page[at + atExcess]! / (page[at + atExcessWeight]! + priorWeight) + 1e-9)
    const deviates = surprisal
    surprisal +=
      0.5 * Math.min(this.#amount.surprisal(amountY), 2 * deviates) +
      0.5 * Math.min(this.#excess.surprisal(excessY), deviates)
    this.#amount.add(amountY)
    this.#excess.add(excessY)
    return surprisal
  }

  /** How many features the event lacks that the key usually carries; NaN where neither has any, whatever others bring. */
  #countMissing(page: Float32Array, at: number, features: readonly number[]): number {
    let missing = 0
    let hasAny = false
    for (let j = 0; j < this.#fields.length - firstFeature; j++) {
      if (j < features.length && !Number.isNaN(features[j]!)) {
        hasAny = true
        continue
      }
      const f = firstFeature + j
      const group = at + header + groupWidth * Math.floor(f / perGroup)
      const bits = page[group]!
      const presence = presenceIn(bits, f % perGroup)
      if (presence === 0) continue
      hasAny = true
      if (presence >= usual) missing++
      if (presence > 1) page[group] = withBits(bits, f % perGroup, presence - 1, runIn(bits, f % perGroup))
    }
    return hasAny ? missing : Number.NaN
  }

  /**
   * ln(1 + seconds since the key's latest event); NaN for a key's first, where there is no time, and where the time is not
   * later than the latest: it says nothing of the interval. Learns the time. Were the latest one ahead of its time, all
   * others would be late for ever: after so many in a row the key's clock is set back.
   */
  #interval(page: Float32Array, at: number, time: number): number {
    if (Number.isNaN(time)) return Number.NaN
    const latest = loadTime(page, at + atTime)
    if (latest !== 0 && time <= latest) {
      this.notLater++
      page[at + atLate] = time === latest ? page[at + atLate]! : page[at + atLate]! + 1
      if (page[at + atLate]! < releaseAfter) return Number.NaN
    }
    page[at + atLate] = 0
    storeTime(page, at + atTime, time)
    return latest === 0 || time <= latest ? Number.NaN : Math.log1p((time - latest) / 1000)
  }

  trim(slots: number): void {
    this.#pages.trim(slots)
  }

  save(slot: number, into: DataView, offset: number): void {
    this.#pages.save(slot, into, offset)
  }

  /** A memory of fewer fields leaves the others new; one of more makes room. */
  load(slot: number, from: DataView, offset: number, length = this.bytesPerKey): void {
    const width = length / 4
    if (!Number.isInteger(width) || width < header) throw new RangeError(`${length} bytes are no memory of a profile`)
    if (width > this.#pages.width) this.#pages = this.#pages.widened(width)
    this.#pages.load(slot, from, offset, width)
  }

  /** Little-endian: the calibrations of amount, excess and join, then each field's statistics and calibration. */
  readonly shared: SharedMemory = {
    save: () => {
      const bytes = new Uint8Array(this.#sharedBytes + ProfileField.bytes * this.#fields.length)
      const view = new DataView(bytes.buffer)
      let at = 0
      for (const tail of this.#shared) {
        tail.save(view, at)
        at += tail.bytes
      }
      for (const field of this.#fields) {
        field.save(view, at)
        at += ProfileField.bytes
      }
      return bytes
    },
    load: (bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const fields = (bytes.byteLength - this.#sharedBytes) / ProfileField.bytes
      if (!Number.isInteger(fields) || fields < 0)
        throw new RangeError(`${bytes.byteLength} bytes are no shared memory of a profile`)
      let at = 0
      for (const tail of this.#shared) {
        tail.load(view, at)
        at += tail.bytes
      }
      this.#fields.length = Math.min(fields, this.#fields.length)
      for (let f = 0; f < fields; f++) {
        this.#fields[f] ??= new ProfileField()
        this.#fields[f]!.load(view, at)
        at += ProfileField.bytes
      }
    },
  }

  readonly former: FormerMemory = {
    load: (slot, from, offset, length) => {
      const current = currentKey(from, offset, length, this.#fields)
      this.load(slot, current, 0, current.byteLength)
    },
    loadShared: (bytes) => this.shared.load(currentShared(bytes, stepsOfSurprisal)),
  }
}

function clamp(x: number, most: number): number {
  return Math.max(-most, Math.min(most, x))
}
