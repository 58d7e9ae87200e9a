import { surprisalOf } from './anomaly-score.ts'
import { hashOf } from './categories.ts'
import type { SlotMemory, Surprisal } from './detector.ts'
import type { Event } from './event.ts'
import { categoryField, type Evidence } from './evidence.ts'
import type { Feedback } from './feedback.ts'
import { anomaliesAt, countAnomaly, countEvent, eventsAt, riskOf, riskWidth, uncountAnomaly } from './risk.ts'
import { anomaliesOf, eventsOf, type SecondaryRisks } from './secondary-risks.ts'
import { loadTime, SlotPages, storeTime } from './slot-pages.ts'
import type { Reason } from './verdict.ts'

/**
 * What an event would be more surprising by if all events of its key had been confirmed, in nats. The key's own weighs less:
 * what its events look like is known already.
 */
const riskWeight = { key: 5, secondaryKey: 14 } as const
/** Notes of what was said of a key: the oldest makes room. */
const notes = 8
/** A note: hash of the event's id, what it is, its field, the range that it is about, and when it was made, in two halves. */
const noteWidth = 7
const atKind = 1
const atField = 2
const atLow = 3
const atHigh = 4
const atSaid = 5
/** Of a confirmed event the first note is what its risk was counted with; others are about further fields. */
const kinds = { none: 0, normal: 1, confirmed: 2, confirmedToo: 3 } as const
const width = riskWidth + 1 + notes * noteWidth
const atCount = riskWidth
const atNotes = riskWidth + 1
/** What its bytes begin with. */
const layout = hashOf('feedback 1')
/** No field: what was found ordinary teaches nothing about fields. */
const noField = -1000
/** A pattern is the fields that were so surprising, at most so many: what looked ordinary has none. */
const suspicious: Surprisal = surprisalOf(0.9)
const mostFields = 2
/** A false alarm widens what is normal by this much more than was seen, of its distance from the expected. */
const margin = 0.25

export interface FeedbackMemoryOptions {
  /** Fields of text in `event.categories`. */
  readonly categories: readonly string[]
  /** Of the values of secondary keys, where the pipeline has any. */
  readonly risks?: SecondaryRisks | undefined
  /** The field of the number that a reason names; undefined for what is none. */
  readonly fieldOf: (feature: string) => number | undefined
}

/**
 * What people said of a key's events: which deviations are normal for it, which must not be learnt, and how many of its
 * events were confirmed anomalies. Of secondary keys only the last. All of it is bounded and can be withdrawn.
 */
export class FeedbackMemory implements SlotMemory {
  readonly bytesPerKey = 4 * (1 + width)
  readonly #options: FeedbackMemoryOptions
  readonly #pages = new SlotPages(width)
  readonly #risks: SecondaryRisks | undefined
  readonly #secondaryKeys: number
  /** The latest time of an event: where events are older than the clock of who speaks of them, nothing fades for that. */
  #now = Number.NEGATIVE_INFINITY

  constructor(options: FeedbackMemoryOptions) {
    this.#options = options
    this.#risks = options.risks
    this.#secondaryKeys = options.risks?.secondaryKeys ?? 0
  }

  /** How much more surprising the event is for the risk of its keys; counts it. */
  observe(slot: number, { time, secondaryKeys = [] }: Event, evidence: Evidence): Surprisal {
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot)
    if (time > this.#now) this.#now = time
    const first = this.#options.categories.length
    const confirmed = anomaliesAt(page, at, time)
    const own = riskWeight.key * riskOf(confirmed, eventsAt(page, at, time))
    if (own > 0) offer(evidence, first + this.#secondaryKeys, confirmed, own)
    let sum = own
    countEvent(page, at, time)
    for (let s = 0; s < this.#secondaryKeys; s++) {
      const value = secondaryKeys[s] ?? ''
      if (value === '') continue
      const known = this.#risks!.of(s, value)
      const anomalies = anomaliesOf(known, time)
      if (anomalies > 0) {
        const surprisal = riskWeight.secondaryKey * riskOf(anomalies, eventsOf(known, time))
        offer(evidence, first + s, anomalies, surprisal)
        sum += surprisal
      }
      countEvent(this.#risks!.changing(known), 0, time)
    }
    return sum
  }

  /** Whether anything was said of the key. */
  knows(slot: number): boolean {
    return this.#pages.page(slot)[this.#pages.offset(slot) + atCount]! > 0
  }

  /** Whether somebody called as much of the field normal for the key. Of a category, `x` is the hash of its text. */
  accepts(slot: number, field: number, x: number): boolean {
    return this.#covers(slot, field, x, true)
  }

  /** Whether the number is like one that was confirmed: it must not become normal. */
  bars(slot: number, field: number, x: number): boolean {
    return this.knows(slot) && this.#covers(slot, field, x, false)
  }

  #covers(slot: number, field: number, x: number, isNormal: boolean): boolean {
    const page = this.#pages.page(slot)
    const start = this.#pages.offset(slot) + atNotes
    for (let at = start; at < start + notes * noteWidth; at += noteWidth) {
      if (page[at + atKind] === kinds.none || page[at + atField] !== field) continue
      if ((page[at + atKind] === kinds.normal) === isNormal && x >= page[at + atLow]! && x <= page[at + atHigh]!)
        return true
    }
    return false
  }

  /** Learns what was said of an event of the slot's key. The same event again: what was said last holds. */
  learn(slot: number, said: Feedback): void {
    const feedback = said.time > this.#now && this.#now > 0 ? { ...said, time: this.#now } : said
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot)
    const id = hashOf(feedback.eventId)
    this.#withdraw(page, at, id, feedback)
    if (feedback.label === 'Withdrawn') return
    const isConfirmed = feedback.label === 'Confirmed'
    let kind: number = isConfirmed ? kinds.confirmed : kinds.normal
    for (const { field, low, high } of this.#patternOf(feedback)) {
      this.#note(page, at, { id, kind, field, low, high, time: feedback.time })
      if (isConfirmed) kind = kinds.confirmedToo
    }
    if (!isConfirmed) return
    if (kind === kinds.confirmed)
      this.#note(page, at, { id, kind, field: noField, low: 0, high: 0, time: feedback.time })
    countAnomaly(page, at, feedback.time)
    for (const risk of this.#risksOf(feedback)) countAnomaly(risk, 0, feedback.time)
  }

  #risksOf(feedback: Feedback): readonly Float32Array[] {
    const risks = this.#risks
    return risks === undefined ? [] : Array.from(risks.valuesOf([feedback]), (known) => risks.changing(known))
  }

  #withdraw(page: Float32Array, at: number, id: number, feedback: Feedback): void {
    for (let note = at + atNotes; note < at + width; note += noteWidth) {
      if (page[note + atKind] === kinds.none || page[note] !== id) continue
      if (page[note + atKind] === kinds.confirmed) {
        const said = loadTime(page, note + atSaid)
        uncountAnomaly(page, at, said)
        for (const risk of this.#risksOf(feedback)) uncountAnomaly(risk, 0, said)
      }
      page.fill(0, note, note + noteWidth)
      page[at + atCount]! -= 1
    }
  }

  #note(page: Float32Array, at: number, note: Pattern & { id: number; kind: number; time: number }): void {
    let to = at + atNotes
    for (let one = to; one < at + width; one += noteWidth) {
      if (page[one + atKind] === kinds.none) {
        to = one
        break
      }
      if (loadTime(page, one + atSaid) < loadTime(page, to + atSaid)) to = one
    }
    if (page[to + atKind] === kinds.none) page[at + atCount]! += 1
    page[to] = note.id
    page[to + atKind] = note.kind
    page[to + atField] = note.field
    page[to + atLow] = note.low
    page[to + atHigh] = note.high
    storeTime(page, to + atSaid, Number.isNaN(note.time) ? 0 : note.time)
  }

  #patternOf({ reasons, anomalyScore, label }: Feedback): readonly Pattern[] {
    const surprisal = surprisalOf(anomalyScore)
    const patterns: Pattern[] = []
    for (const reason of reasons) {
      if (reason.detector === 'rule' || patterns.length === mostFields) continue
      if (reason.contribution * surprisal < suspicious) continue
      const range = this.#rangeOf(reason, label === 'Confirmed')
      if (range !== undefined) patterns.push(range)
    }
    return patterns
  }

  #rangeOf({ feature, category, observed, expected }: Reason, isConfirmed: boolean): Pattern | undefined {
    if (category !== undefined) {
      const c = this.#options.categories.indexOf(feature)
      const hash = hashOf(category)
      return c < 0 ? undefined : { field: categoryField(c), low: hash, high: hash }
    }
    const field = this.#options.fieldOf(feature)
    if (field === undefined || observed === null) return undefined
    const distance = expected === null ? Math.abs(observed) : observed - expected
    if (!isConfirmed) {
      const far = observed + margin * distance
      const near = expected ?? observed - margin * distance
      return { field, low: Math.min(near, far), high: Math.max(near, far) }
    }
    if (expected === null || distance === 0) return undefined
    const middle = expected + distance / 2
    return distance > 0
      ? { field, low: middle, high: Number.POSITIVE_INFINITY }
      : { field, low: Number.NEGATIVE_INFINITY, high: middle }
  }

  reset(slot: number): void {
    this.#pages.clear(slot)
  }

  save(slot: number, into: DataView, offset: number): void {
    into.setFloat32(offset, layout, true)
    this.#pages.save(slot, into, offset + 4)
  }

  /** What is of something else, where the pipeline had no feedback, is left aside: detectors keep what they learnt. */
  load(slot: number, from: DataView, offset: number, length: number): void {
    if (length !== this.bytesPerKey || from.getFloat32(offset, true) !== layout) return
    this.#pages.load(slot, from, offset + 4)
  }

  trim(slots: number): void {
    this.#pages.trim(slots)
  }
}

interface Pattern {
  readonly field: number
  readonly low: number
  readonly high: number
}

/** Of a field of text only how many of its events were confirmed lately is known. */
function offer(evidence: Evidence, field: number, confirmed: number, surprisal: Surprisal): void {
  evidence.offer(categoryField(field), confirmed, Number.NaN, surprisal)
}
