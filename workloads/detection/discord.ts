import type { KeyedDetector, Surprisal } from './detector.ts'
import type { Event } from './event.ts'
import { type Evidence, type Shape, valueField } from './evidence.ts'
import {
  beginSeries,
  firstValues,
  fromUnits,
  inUnits,
  learnLevel,
  learnMoments,
  learnRepeats,
  level,
  seen,
  seriesDoubles,
  spread,
  trusted,
  usualFloats,
  usualScore,
  variance,
} from './series-memory.ts'
import { addToTail, clearTail, excessOfTail, fitLength, type TailShape } from './tail-histogram.ts'
import { beginTrend, Trend, trendFloats } from './trend.ts'
import {
  follower,
  NearestVector,
  remember,
  rememberNearest,
  rememberSmoothed,
  scales,
  vectorFloats,
} from './vector-memory.ts'

/** ln of a distance in standard deviations, or of a deviation from the level in mean ones. */
const logDistance: TailShape = { bins: 140, min: -5, width: 0.1, capacity: 16_000, priorShape: 0.35, priorCount: 20 }
const logMost = logDistance.min + logDistance.bins * logDistance.width
/** The distances on three time scales, and the deviation from the level. */
const members = scales.length + 1
const levelMember = scales.length
const countsPerSlot = members * logDistance.bins
const usualOffset = vectorFloats
const trendOffset = usualOffset + usualFloats
const floatsPerSlot = trendOffset + trendFloats

/** Doubles of a slot: those of the series, by member the last value counted although it was an anomaly, and the fits. */
const counted = seriesDoubles
const fits = counted + members
const doublesPerSlot = fits + members * fitLength

/** What differs by less of a standard deviation than this is equal. */
const leastDeviation = 2 ** -45
/** Part of the level in the sum of scores: more finds more in the KPIs and less in NAB, at full weight six points less. */
const levelWeight = 0.55
/** An episode is learnt once: a surprisal above this, so few values after the last of its kind, is not counted. */
const anomalous = 7
const episode = 10
/** Values before the first score, and those over which scores rise to their full weight: the first hundred alert ten times too often without. */
const firstScored = 100
const rampStart = 50
const rampLength = 350
/** What is usual at this hour is taken off by that part. */
const usualPart = 0.75

/** What a measurement may leave out, to tell what it adds. */
export const discordParts = [
  ...scales.map(({ shape }) => `distance of ${shape}` as const),
  'deviation from the level',
  'frozen values',
  'usual scores',
  'learning once',
  'slow trends',
] as const
export type DiscordPart = (typeof discordParts)[number]
const [frozenAt, usualPartAt, episodeAt, trendAt] = [members, members + 1, members + 2, members + 3]

const slotsPerPage = 64

interface Page {
  readonly doubles: Float64Array
  readonly floats: Float32Array
  readonly counts: Uint16Array
}

/**
 * Multi-scale nearest-neighbour discord: a value is strange when the last few values look like nothing in the key's own
 * past. On three time scales, the Euclidean distance of the latest four values to the nearest remembered vector, in
 * standard deviations of the key, becomes the surprisal of that distance among the key's own distances so far. The
 * deviation from the smoothed level is a fourth member at about half weight. The answer is the mean of the largest member and
 * of the two largest ones' mean, less most of what the key usually shows around that hour of the day. Beside them stands a
 * slow trend. Causal, without a parameter per series; for few keys with long series (sensors, metrics).
 *
 * Discord: E. Keogh, J. Lin & A. Fu, "HOT SAX: Efficiently Finding the Most Unusual Time Series Subsequence", ICDM 2005.
 */
export class Discord implements KeyedDetector {
  readonly name: string
  readonly layout = 'discord/3'
  readonly bytesPerKey = 8 * doublesPerSlot + 4 * floatsPerSlot + 2 * countsPerSlot
  readonly refractoryEvents = 120
  readonly #pages: Page[] = []
  readonly #nearest = new NearestVector()
  readonly #trend = new Trend()
  /** By part. */
  readonly #isLeftOut: readonly boolean[]
  /** Of the value being observed: the two largest members, and what the largest one expected, in units. */
  #largest = 0
  #second = 0
  #shape: Shape = ''
  #expected = 0

  constructor(name: string, { without }: { readonly without?: DiscordPart | undefined } = {}) {
    this.name = name
    this.#isLeftOut = discordParts.map((part) => part === without)
  }

  reset(slot: number): void {
    while (this.#pages.length * slotsPerPage <= slot) this.#pages.push(newPage())
    const { doubles, floats, counts } = this.#page(slot)
    const at = slot % slotsPerPage
    const d = at * doublesPerSlot
    doubles.fill(0, d, d + doublesPerSlot)
    doubles.fill(Number.NEGATIVE_INFINITY, d + counted, d + counted + members)
    floats.fill(0, at * floatsPerSlot, (at + 1) * floatsPerSlot)
    beginTrend(floats, at * floatsPerSlot + trendOffset)
    for (let m = 0; m < members; m++)
      clearTail(logDistance, counts, at * countsPerSlot + m * logDistance.bins, doubles, d + fits + m * fitLength)
  }

  /** Looks at the event's value alone; a missing one scores 0 and is not learnt. */
  observe(slot: number, event: Event, evidence: Evidence): Surprisal {
    if (!Number.isFinite(event.value)) return 0
    const page = this.#page(slot)
    const { doubles } = page
    const d = (slot % slotsPerPage) * doublesPerSlot
    const i = doubles[d + seen]!
    doubles[d + seen] = i + 1
    if (i < firstValues) {
      beginSeries(doubles, d, i, event.value)
      return 0
    }
    const x = inUnits(event.value, doubles, d)
    const score = this.#score(page, slot % slotsPerPage, i, x)
    const f = (slot % slotsPerPage) * floatsPerSlot
    const trend = this.#isLeftOut[trendAt]
      ? 0
      : this.#trend.observe(doubles, d, page.floats, f + trendOffset, event.time, x)
    const usual = usualScore(doubles, d, page.floats, f + usualOffset, i, event.time, score)
    const rest = this.#isLeftOut[usualPartAt] ? score : score - usualPart * Math.min(score, usual)
    const surprisal = Math.max(rest, trend)
    if (surprisal <= 0) return 0
    const isTrend = trend > rest
    evidence.shape = isTrend ? 'trend' : this.#shape
    const expected = isTrend ? x - this.#trend.deviation : this.#expected
    evidence.offer(valueField, event.value, expected === x ? event.value : fromUnits(expected, doubles, d), surprisal)
    return surprisal
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

  /** Scores value i, x in units from the origin, by all members, and learns it. */
  #score(page: Page, at: number, i: number, x: number): Surprisal {
    const { doubles, floats } = page
    const d = at * doublesPerSlot
    const f = at * floatsPerSlot
    const learnt = trusted(doubles, d, x)
    learnMoments(doubles, d, i, learnt)
    const frozen = learnRepeats(doubles, d, i, x)
    this.#largest = 0
    this.#second = 0
    const before = doubles[d + level]!
    const ratio = learnLevel(doubles, d, i, learnt)
    const smoothed = doubles[d + level]!
    const deviation = Math.sqrt(doubles[d + variance]! + leastDeviation * leastDeviation)
    const nearest = this.#nearest
    for (let m = 0; m < scales.length; m++) {
      const scale = scales[m]!
      const sample = Math.fround(scale.smoothed ? smoothed : x)
      if (i >= firstScored && !this.#isLeftOut[m]) {
        nearest.search(floats, f, scale, i, sample)
        const component = this.#judge(page, at, m, i, Math.log(Math.sqrt(nearest.distance) / deviation))
        // The vector nearest to a spike is often one with such a value.
        const expected = m === 0 ? follower(floats, f) : floats[nearest.place]!
        // Where the value is no further off than usual, those before it were strange.
        this.#offer(component, scale.shape, Math.abs(x - expected) < doubles[d + spread]! ? x : expected)
        if (m === 0) rememberNearest(floats, f, nearest.place)
      }
      remember(floats, f, scale, i, sample)
    }
    rememberSmoothed(floats, f, i, smoothed)
    const o = this.#judge(page, at, levelMember, i, Math.log(ratio))
    if (i < firstScored) return 0
    if (!this.#isLeftOut[levelMember]) this.#offer(levelWeight * o, 'level', before)
    if (!this.#isLeftOut[frozenAt]) this.#offer(frozen, 'frozen', x)
    const ramp = Math.min(1, (i - rampStart) / rampLength)
    return (ramp * (this.#largest + (this.#largest + this.#second) / 2)) / 2
  }

  /** Surprisal of y among what the member has shown so far, which it then belongs to. */
  #judge({ doubles, counts }: Page, at: number, m: number, i: number, y: number): Surprisal {
    if (Number.isNaN(y)) return 0
    const d = at * doublesPerSlot
    const fit = d + fits + m * fitLength
    const bounded = Math.min(y, logMost)
    const component = excessOfTail(doubles, fit, bounded)
    if (component > anomalous && !this.#isLeftOut[episodeAt]) {
      if (i - doubles[d + counted + m]! <= episode) return component
      doubles[d + counted + m] = i
    }
    addToTail(logDistance, counts, at * countsPerSlot + m * logDistance.bins, doubles, fit, bounded)
    return component
  }

  #offer(component: Surprisal, shape: Shape, expected: number): void {
    if (component <= this.#largest) {
      if (component > this.#second) this.#second = component
      return
    }
    this.#second = this.#largest
    this.#largest = component
    this.#shape = shape
    this.#expected = expected
  }
}

function newPage(): Page {
  return {
    doubles: new Float64Array(slotsPerPage * doublesPerSlot),
    floats: new Float32Array(slotsPerPage * floatsPerSlot),
    counts: new Uint16Array(slotsPerPage * countsPerSlot),
  }
}
