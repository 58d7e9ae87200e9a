import { resolveDecision, resolveDetectors } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { AlertBudget } from './alert-budget.ts'
import { anomalyScoreOf, surprisalOf } from './anomaly-score.ts'
import type { KeyedDetector, Surprisal } from './detector.ts'
import { Discord } from './discord.ts'
import type { Event } from './event.ts'
import { Evidence, firstFeature, intervalField, missingField, valueField } from './evidence.ts'
import type { FeatureSchema } from './feature-schema.ts'
import { KeyTable } from './key-table.ts'
import { Profile } from './profile.ts'
import { isHit, type Limit, limitsOf } from './rules.ts'
import type { ScoredRows } from './scored-rows.ts'
import { loadTime, SlotPages, storeTime } from './slot-pages.ts'
import { TailHistogram, type TailShape } from './tail-histogram.ts'
import type { Degradation, Reason, Suppression, Verdict } from './verdict.ts'

/** Before so many events of a stream its scores mean nothing: only rules alert. */
const learningEvents = 200
/** Events of a key after which its history counts half in the confidence. */
const halfSupport = 10
/** An event of the same episode alerts all the same if it is that much more surprising than the alert was. */
const escalation = 1.5
/** From this anomaly score on, a verdict gives up to three reasons. */
const suspicious = surprisalOf(0.9)
const reasonsOfSuspicious = 3

const stepsOfJoint: TailShape = { bins: 200, min: 0, width: 0.1, capacity: 65_000, priorShape: 0.7, priorCount: 20 }

/** Memory for the state of keys where nobody says how much, in bytes. */
export const defaultStateBytes = 2 ** 30
/** More keys than two batches have. */
const leastKeys = 4096

/** What is remembered of a key beside the detectors' memories. */
const episodeWidth = 5
const atEvents = 0
const atSince = 1
const atSurprisal = 2
const atTime = 3

export interface DetectionOptions {
  readonly schema: FeatureSchema
  /** Memory for the state of keys, in bytes; the keys unused for longest are forgotten beyond it. 1 GiB if absent. */
  readonly stateBytes?: number | undefined
  /** Whether batches can be undone until they are committed. */
  readonly staged?: boolean | undefined
  /** Called before a key is forgotten for want of memory. */
  readonly onEvict?: ((key: string) => void) | undefined
}

/** The events of a batch between being observed and being decided; valid until the next batch. */
export interface ObservedBatch {
  readonly events: readonly Event[]
  /** Row-major, one row an event; NaN where absent. */
  readonly rows: Float64Array
  readonly columns: readonly string[]
}

/**
 * Detection on one partition's events in order: profiles and other keyed detectors first (`observe`), then, with the
 * model's scores of the rows, the verdicts (`decide`). Results do not depend on where a stream is cut into batches.
 */
export class Detection {
  /** Row surprisals from here on are worth an explanation by the model. */
  readonly explainFrom: Surprisal
  readonly #schema: FeatureSchema
  readonly #keyed: readonly KeyedDetector[]
  readonly #modelNames: readonly string[]
  readonly #limits: readonly Limit[]
  readonly #keys: KeyTable
  #stateBytes: number
  /** Features of the widest event so far. */
  #widest = 0
  readonly #episodes = new SlotPages(episodeWidth)
  /** The mean of several members has a distribution of its own; a single member's surprisal is calibrated already. */
  readonly #joint: TailHistogram | undefined
  readonly #budget: AlertBudget | undefined
  readonly #fixedThreshold: Surprisal
  readonly #nominal: Surprisal
  readonly #refractoryMs: number
  readonly #refractoryEvents: number
  readonly #numbersExpected: number
  readonly #profile: Profile | undefined
  readonly #rowFields: readonly RowField[]
  #columns: readonly string[] = []
  readonly #isStaged: boolean
  readonly #onEvict: ((key: string) => void) | undefined
  /** Tells memories of other detectors apart. */
  readonly #layout: number
  /** Where the memory of each key from before the batch lies in `#undoView`; -1 for a key that had none. */
  #undo: { readonly keys: Map<string, number>; readonly partition: Uint8Array } | undefined
  /** Kept between batches: no allocation a key. */
  #undoView = new DataView(new ArrayBuffer(0))
  #undoEnd = 0
  #slots = new Int32Array(0)
  #surprisals: Float64Array[] = []
  #evidence: Evidence[][] = []
  #rows = new Float64Array(0)
  #events = 0

  constructor(pipeline: Pipeline, options: DetectionOptions) {
    const { event, detection } = pipeline.spec
    this.#schema = options.schema
    const keyed: KeyedDetector[] = []
    const modelNames: string[] = []
    for (const detector of resolveDetectors(detection)) {
      if (detector.type === 'profile') keyed.push(new Profile(detector))
      else if (detector.type === 'discord') keyed.push(new Discord(detector.name))
      else modelNames.push(detector.name)
    }
    this.#keyed = keyed
    this.#modelNames = modelNames
    this.#profile = keyed.find((detector) => detector instanceof Profile)
    this.#joint = keyed.length + modelNames.length > 1 ? new TailHistogram(stepsOfJoint) : undefined
    this.#limits = limitsOf(detection.rules, options.schema)
    this.#stateBytes = options.stateBytes ?? defaultStateBytes
    this.#keys = new KeyTable(this.#roomForKeys())
    const decision = resolveDecision(detection)
    this.#budget = decision.type === 'alertBudget' ? new AlertBudget(decision.perMillion) : undefined
    this.#fixedThreshold = decision.type === 'threshold' ? surprisalOf(decision.anomalyScore) : 0
    this.#nominal = decision.type === 'threshold' ? this.#fixedThreshold : -Math.log(decision.perMillion / 1e6)
    this.explainFrom = Math.max(1, Math.min(4, 0.8 * (this.#budget?.theta ?? this.#fixedThreshold)))
    this.#refractoryMs = detection.refractorySeconds * 1000
    this.#refractoryEvents = Math.max(0, ...keyed.map((detector) => detector.refractoryEvents))
    this.#numbersExpected = event.value === '' ? 0 : 1
    this.#rowFields = rowFieldsOf(event.value !== '', event.key !== '', this.#profile)
    this.#isStaged = options.staged ?? false
    this.#onEvict = options.onEvict
    this.#layout = hashOf(keyed.map((detector) => `${detector.constructor.name} ${detector.name}`).join())
    this.#evidence = keyed.map(() => [])
    this.#surprisals = keyed.map(() => new Float64Array(0))
  }

  /** Keys whose state is in memory. */
  get keys(): number {
    return this.#keys.size
  }

  /** Names of the detectors that need a model, in the order in which scored rows hold their surprisals. */
  get modelNames(): readonly string[] {
    return this.#modelNames
  }

  /** Scores events against their keys' histories, learns them, and lays out their rows for the model. */
  observe(events: readonly Event[]): ObservedBatch {
    const n = events.length
    const width = this.#modelNames.length === 0 ? 0 : this.#rowFields.length + this.#schema.size
    if (this.#columns.length !== width)
      this.#columns = width === 0 ? [] : [...this.#rowFields.map((field) => field.name), ...this.#schema.names]
    this.#reserve(n, width)
    const rows = this.#rows
    if (this.#isStaged) this.#undo ??= { keys: new Map(), partition: this.savePartition() }
    const staged = this.#undo
    for (let i = 0; i < n; i++) {
      const event = events[i]!
      let slot = this.#keys.find(event.key)
      if (staged !== undefined && !staged.keys.has(event.key))
        staged.keys.set(event.key, slot < 0 ? -1 : this.#stage(slot))
      if (slot < 0) slot = this.#insert(event.key)
      this.#slots[i] = slot
      for (let d = 0; d < this.#keyed.length; d++) {
        const evidence = this.#evidence[d]![i]!
        evidence.clear()
        this.#surprisals[d]![i] = this.#keyed[d]!.observe(slot, event, evidence)
      }
      if (event.features.length > this.#widest) {
        this.#widest = event.features.length
        this.#limitKeys()
      }
      if (width === 0) continue
      let at = i * width
      for (const field of this.#rowFields) rows[at++] = field.read(event)
      const features = event.features
      for (let f = 0; f < features.length; f++) rows[at++] = features[f]!
      const end = (i + 1) * width
      while (at < end) rows[at++] = Number.NaN
    }
    return { events, rows: rows.subarray(0, n * width), columns: this.#columns }
  }

  /**
   * The verdicts of the batch last observed, in order. Without `scored` the model did not answer: the keyed detectors
   * and rules decide alone, and the verdicts say so.
   */
  decide(batch: ObservedBatch, scored: ScoredRows | undefined, degraded?: Degradation): Verdict[] {
    const { events } = batch
    const verdicts: Verdict[] = new Array(events.length)
    const needsModel = this.#modelNames.length > 0
    const models = scored?.surprisals ?? []
    const missing = degraded ?? (needsModel && scored === undefined ? 'ModelUnavailable' : undefined)
    for (let i = 0; i < events.length; i++) {
      const event = events[i]!
      let sum = 0
      let answering = this.#keyed.length
      const scores: Record<string, number> = {}
      for (let d = 0; d < this.#keyed.length; d++) {
        const surprisal = this.#surprisals[d]![i]!
        sum += surprisal
        scores[this.#keyed[d]!.name] = anomalyScoreOf(surprisal)
      }
      for (let m = 0; m < models.length; m++) {
        const surprisal = models[m]![i]!
        if (Number.isNaN(surprisal)) continue
        answering++
        sum += surprisal
        scores[this.#modelNames[m]!] = anomalyScoreOf(surprisal)
      }
      // The mean of the members: the maximum follows the worst of them.
      const joint = answering === 0 ? 0 : sum / answering

      const calibration = this.#joint !== undefined && this.#joint.total >= 100 ? this.#joint : undefined
      const surprisal = calibration?.surprisal(joint) ?? joint
      const theta = this.#budget?.theta ?? 0
      const threshold = this.#budget === undefined ? this.#fixedThreshold : (calibration?.surprisal(theta) ?? theta)
      const reached = this.#budget === undefined ? surprisal >= threshold : joint >= theta
      const page = this.#episodes.page(this.#slots[i]!)
      const at = this.#episodes.offset(this.#slots[i]!)
      let alerted = false
      let suppressedBy: Suppression | undefined
      if (reached && joint > 0) {
        if (this.#events < learningEvents) suppressedBy = 'Learning'
        else if (this.#inEpisode(page, at, event.time) && joint < escalation * page[at + atSurprisal]!)
          suppressedBy = 'Refractory'
        else alerted = true
      } else if (surprisal >= this.#nominal && this.#events >= learningEvents) suppressedBy = 'Budget'
      this.#joint?.add(joint)
      this.#budget?.learn(alerted)
      this.#events++
      const support = page[at + atEvents]!
      page[at + atEvents] = support + 1
      page[at + atSince] = page[at + atSince]! + 1
      if (alerted) {
        page[at + atSince] = 0
        page[at + atSurprisal] = joint
        if (!Number.isNaN(event.time)) storeTime(page, at + atTime, event.time)
      }

      const reasons: Reason[] = []
      for (const limit of this.#limits) {
        const observed = limit.read(event)
        if (!isHit(limit, observed)) continue
        const expected = observed > limit.above ? limit.above : limit.below
        reasons.push({ detector: 'rule', rule: limit.name, feature: limit.field, observed, expected, contribution: 1 })
      }
      const hit = reasons.length > 0
      this.#explain(reasons, i, sum, models, scored, surprisal >= suspicious || alerted)
      const verdict: { -readonly [Field in keyof Verdict]: Verdict[Field] } = {
        eventId: event.id,
        userId: event.key,
        timestamp: Number.isNaN(event.time) ? null : event.time,
        isAnomaly: alerted || hit,
        anomalyScore: anomalyScoreOf(surprisal),
        threshold: anomalyScoreOf(threshold),
        confidence: hit
          ? 1
          : this.#confidence(event, support, answering < this.#keyed.length + this.#modelNames.length),
        modelVersion: needsModel ? (scored?.modelVersionOf(i) ?? 'UNAVAILABLE') : 'NONE',
        reasons,
        scores,
      }
      if (suppressedBy !== undefined && !hit) verdict.suppressedBy = suppressedBy
      if (missing !== undefined) verdict.degraded = missing
      verdicts[i] = verdict
    }
    return verdicts
  }

  /** Keys of the events whose state is not in memory, each once. The others are not forgotten before they are used. */
  missingKeys(events: readonly Event[]): readonly string[] {
    const missing = new Set<string>()
    for (const { key } of events) if (this.#keys.find(key) < 0) missing.add(key)
    return [...missing]
  }

  forget(key: string): void {
    this.#keys.delete(key)
  }

  /** Another bound of the memory for keys, in bytes. Between `decide` and `observe` only: keys may get other slots. */
  limitState(bytes: number): void {
    this.#stateBytes = bytes
    this.#limitKeys()
    if (this.#keys.slots <= this.#keys.capacity) return
    const memory = new DataView(new ArrayBuffer(this.#slotBytes()))
    this.#keys.compact((from, to) => {
      this.#writeSlot(from, memory, 0)
      this.#loadSlot(to, memory)
    })
    this.#episodes.trim(this.#keys.slots)
    for (const detector of this.#keyed) detector.trim(this.#keys.slots)
  }

  /** Takes in the stored memory of a key that is not in memory. False: it is of other detectors, and was left aside. */
  adopt(key: string, payload: Uint8Array): boolean {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
    const slot = this.#insert(key)
    try {
      this.#loadSlot(slot, view)
      return true
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.#reset(slot)
      return false
    }
  }

  /** What was observed since the last commit is for good. Answers with the keys that it changed. */
  commit(): readonly string[] {
    const changed = this.#undo === undefined ? [] : [...this.#undo.keys.keys()]
    this.#undo = undefined
    this.#undoEnd = 0
    return changed
  }

  /** Undoes all that was observed and decided since the last commit. */
  rollback(): void {
    const undo = this.#undo
    if (undo === undefined) return
    this.#undo = undefined
    this.#undoEnd = 0
    for (const [key, savedAt] of undo.keys) {
      const slot = this.#keys.peek(key)
      if (slot < 0) continue
      if (savedAt < 0) this.#keys.delete(key)
      else this.#loadSlot(slot, this.#undoView, savedAt)
    }
    this.loadPartition(undo.partition)
  }

  /** Every key in memory, from the most to the least recently used. */
  keysInMemory(): Iterable<string> {
    return this.#keys.keys()
  }

  /** A key's memory, little-endian; undefined for a key that is not in memory. */
  saveKey(key: string): Uint8Array<ArrayBuffer> | undefined {
    const slot = this.#keys.peek(key)
    return slot < 0 ? undefined : this.#saveSlot(slot)
  }

  /** What the keys of the partition share: threshold, calibration, and what detectors learnt from all keys. */
  savePartition(): Uint8Array<ArrayBuffer> {
    const shared = this.#keyed.map((detector) => detector.shared?.save() ?? new Uint8Array(0))
    const joint = this.#joint?.bytes ?? 0
    const bytes = new Uint8Array(24 + joint + shared.reduce((sum, part) => sum + 4 + part.length, 0))
    const view = new DataView(bytes.buffer)
    view.setUint32(0, this.#layout, true)
    view.setUint32(4, joint, true)
    view.setFloat64(8, this.#budget?.theta ?? Number.NaN, true)
    view.setFloat64(16, this.#events, true)
    this.#joint?.save(view, 24)
    let at = 24 + joint
    for (const part of shared) {
      view.setUint32(at, part.length, true)
      bytes.set(part, at + 4)
      at += 4 + part.length
    }
    return bytes
  }

  /** Reads what `savePartition` wrote. False: it is of other detectors, and was left aside. */
  loadPartition(bytes: Uint8Array): boolean {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const joint = this.#joint?.bytes ?? 0
    if (bytes.length < 24 || view.getUint32(0, true) !== this.#layout || view.getUint32(4, true) !== joint) return false
    const parts: Uint8Array[] = []
    for (let at = 24 + joint; at + 4 <= bytes.length; ) {
      const length = view.getUint32(at, true)
      parts.push(bytes.subarray(at + 4, at + 4 + length))
      at += 4 + length
    }
    const theta = view.getFloat64(8, true)
    if (this.#budget !== undefined && !Number.isNaN(theta)) this.#budget.theta = theta
    this.#events = view.getFloat64(16, true)
    this.#joint?.load(view, 24)
    for (const [d, detector] of this.#keyed.entries()) detector.shared?.load(parts[d]!)
    return true
  }

  #insert(key: string): number {
    const evicted = this.#onEvict === undefined ? undefined : this.#keys.nextEvicted
    if (evicted !== undefined) this.#onEvict!(evicted)
    const slot = this.#keys.insert(key)
    this.#reset(slot)
    return slot
  }

  /** Keys that memory has room for, as wide as they are by now; what may still be undone is not forgotten. */
  #roomForKeys(): number {
    const bytesPerKey = this.#keyed.reduce((sum, detector) => sum + detector.bytesPerKey, 150)
    return Math.max(leastKeys + (this.#undo?.keys.size ?? 0), Math.floor(this.#stateBytes / bytesPerKey))
  }

  #limitKeys(): void {
    this.#keys.capacity = this.#roomForKeys()
    while (this.#keys.size > this.#keys.capacity) {
      const evicted = this.#keys.nextEvicted!
      this.#onEvict?.(evicted)
      this.#keys.delete(evicted)
    }
  }

  #reset(slot: number): void {
    for (const detector of this.#keyed) detector.reset(slot)
    const page = this.#episodes.page(slot)
    const at = this.#episodes.offset(slot)
    page.fill(0, at, at + episodeWidth)
    page[at + atSince] = Number.POSITIVE_INFINITY
  }

  #saveSlot(slot: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#slotBytes())
    this.#writeSlot(slot, new DataView(bytes.buffer), 0)
    return bytes
  }

  /** Keeps the slot's memory until the commit; answers where. */
  #stage(slot: number): number {
    const at = this.#undoEnd
    const end = at + this.#slotBytes()
    if (end > this.#undoView.byteLength) {
      const wider = new Uint8Array(2 * end)
      wider.set(new Uint8Array(this.#undoView.buffer))
      this.#undoView = new DataView(wider.buffer)
    }
    this.#writeSlot(slot, this.#undoView, at)
    this.#undoEnd = end
    return at
  }

  #slotBytes(): number {
    let length = 4 + 4 * episodeWidth
    for (const detector of this.#keyed) length += 4 + detector.bytesPerKey
    return length
  }

  /** Layout, episode, then each detector's length and memory. */
  #writeSlot(slot: number, view: DataView, offset: number): void {
    view.setUint32(offset, this.#layout, true)
    const page = this.#episodes.page(slot)
    const from = this.#episodes.offset(slot)
    let at = offset + 4
    for (let i = 0; i < episodeWidth; i++, at += 4) view.setFloat32(at, page[from + i]!, true)
    for (const detector of this.#keyed) {
      view.setUint32(at, detector.bytesPerKey, true)
      detector.save(slot, view, at + 4)
      at += 4 + detector.bytesPerKey
    }
  }

  #loadSlot(slot: number, view: DataView, offset = 0): void {
    if (view.byteLength < offset + 4 + 4 * episodeWidth || view.getUint32(offset, true) !== this.#layout)
      throw new RangeError('the memory is of other detectors')
    const page = this.#episodes.page(slot)
    const to = this.#episodes.offset(slot)
    let at = offset + 4
    for (let i = 0; i < episodeWidth; i++, at += 4) page[to + i] = view.getFloat32(at, true)
    for (const detector of this.#keyed) {
      const length = view.getUint32(at, true)
      detector.load(slot, view, at + 4, length)
      at += 4 + length
    }
  }

  /** Whether an alert of this key still stands for what goes on. */
  #inEpisode(page: Float32Array, at: number, time: number): boolean {
    const since = page[at + atSince]!
    if (since === Number.POSITIVE_INFINITY) return false
    if (since < this.#refractoryEvents) return true
    return this.#refractoryMs > 0 && Math.abs(time - loadTime(page, at + atTime)) < this.#refractoryMs
  }

  #confidence(event: Event, support: number, withoutModel: boolean): number {
    const history =
      this.#keyed.length === 0 ? this.#events / (this.#events + learningEvents) : support / (support + halfSupport)
    let present = Number.isNaN(event.value) ? 0 : this.#numbersExpected
    const { features } = event
    for (let f = 0; f < features.length; f++) if (!Number.isNaN(features[f]!)) present++
    const expected = this.#numbersExpected + this.#schema.size
    return history * (expected === 0 ? 1 : present / expected) * (withoutModel ? 0.5 : 1)
  }

  /** Appends the strongest reasons of the detectors. Each detector speaks for its share of the joint surprisal. */
  #explain(
    reasons: Reason[],
    i: number,
    sum: Surprisal,
    models: readonly Float64Array[],
    scored: ScoredRows | undefined,
    wanted: boolean,
  ): void {
    if (sum <= 0) return
    const most = reasons.length + (wanted ? reasonsOfSuspicious : 1)
    const own = reasons.length
    for (let d = 0; d < this.#keyed.length; d++) {
      const evidence = this.#evidence[d]![i]!
      let total = 0
      for (let e = 0; e < evidence.count; e++) total += evidence.contribution[e]!
      if (total <= 0) continue
      const share = this.#surprisals[d]![i]! / sum / total
      const count = wanted ? evidence.count : 1
      for (let e = 0; e < count; e++) {
        const contribution = evidence.contribution[e]! * share
        if (contribution < 0.01) break
        const field = evidence.field[e]!
        const reason: Reason = {
          detector: this.#keyed[d]!.name,
          feature: this.#nameOf(field),
          observed: numberOrNull(evidence.observed[e]!),
          expected: numberOrNull(evidence.expected[e]!),
          contribution,
          ...(evidence.shape === '' ? undefined : { shape: evidence.shape }),
        }
        place(reasons, own, most, reason)
      }
    }
    const explanations = scored?.explanations.get(i)
    if (explanations === undefined) return
    for (const { model, column, observed, expected, contribution } of explanations) {
      const share = models[model]![i]! / sum
      place(reasons, own, most, {
        detector: this.#modelNames[model]!,
        feature: column,
        observed,
        expected,
        contribution: contribution * share,
      })
    }
  }

  #nameOf(field: number): string {
    if (field === valueField) return 'value'
    if (field === intervalField) return 'interval'
    if (field === missingField) return 'missing features'
    return this.#schema.names[field - firstFeature]!
  }

  #reserve(n: number, width: number): void {
    if (this.#rows.length < n * width) this.#rows = new Float64Array(n * width)
    if (this.#slots.length >= n) return
    this.#slots = new Int32Array(n)
    this.#surprisals = this.#keyed.map(() => new Float64Array(n))
    this.#evidence = this.#keyed.map(() => Array.from({ length: n }, () => new Evidence()))
  }
}

function numberOrNull(x: number): number | null {
  return Number.isNaN(x) ? null : x
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

interface RowField {
  readonly name: string
  read(event: Event): number
}

/** The columns before the features: the value, and the profile's view of value and interval where keys have profiles. */
function rowFieldsOf(hasValue: boolean, hasKey: boolean, profile: Profile | undefined): readonly RowField[] {
  const fields: RowField[] = []
  if (hasValue) fields.push({ name: 'value', read: (event) => event.value })
  if (profile === undefined || !hasKey) return fields
  if (hasValue) fields.push({ name: 'value.deviation', read: () => squashed(profile.valueDeviation) })
  fields.push({ name: 'interval.deviation', read: () => squashed(profile.intervalDeviation) })
  return fields
}

/** Random splits between extremes would see nothing but the most extreme deviation: on a logarithmic scale they see all. */
function squashed(deviation: number): number {
  return Math.sign(deviation) * Math.log1p(Math.abs(deviation))
}

/** Inserts by contribution, at `from` or after, keeping at most `most` reasons. */
function place(reasons: Reason[], from: number, most: number, reason: Reason): void {
  let at = reasons.length
  while (at > from && reasons[at - 1]!.contribution < reason.contribution) at--
  if (at >= most) return
  reasons.splice(at, 0, reason)
  if (reasons.length > most) reasons.pop()
}
