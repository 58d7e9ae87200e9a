import { resolveDetectors } from '../../lib/pipeline/resolve-pipeline.ts'
import type { DetectionSpec, Pipeline, PipelineSpec } from '../../lib/pipeline/spec.ts'
import type { Spent } from './alert-budget.ts'
import { anomalyScoreOf, surprisalOf } from './anomaly-score.ts'
import { Calendars } from './calendars.ts'
import { Categories, hashOf } from './categories.ts'
import { Decision, learningEvents } from './decision.ts'
import { DerivedFeatures } from './derived-features.ts'
import type { KeyedDetector, SharedMemory, SlotMemory, Surprisal } from './detector.ts'
import { Discord } from './discord.ts'
import { leadingFeature } from './episode.ts'
import type { Event } from './event.ts'
import { Evidence, firstFeature, intervalField, missingField, valueField } from './evidence.ts'
import type { FeatureSchema } from './feature-schema.ts'
import type { Feedback } from './feedback.ts'
import { FeedbackMemory } from './feedback-memory.ts'
import { LastAlerts } from './last-alerts.ts'
import { isMuted, type Mute, mutesOf } from './mutes.ts'
import { observeUnlearnt } from './observe-unlearnt.ts'
import { Profile } from './profile.ts'
import { Reasons } from './reasons.ts'
import { RowLayout } from './row-layout.ts'
import { type Limit, limitsOf } from './rules.ts'
import type { RowExplanation, ScoredRows } from './scored-rows.ts'
import { SecondaryRisks } from './secondary-risks.ts'
import type { Degradation, Verdict } from './verdict.ts'

/** Events of a key after which its history counts half in the confidence: a mean of ten is uncertain by a third of a spread. */
const halfSupport = 10
/** From this anomaly score on, one event in ten, a verdict gives up to three reasons: more would be read by nobody. */
const suspicious = surprisalOf(0.9)
const reasonsOfSuspicious = 3

/** The events of a batch between being observed and being decided; valid until the next batch. */
export interface ObservedBatch {
  readonly events: readonly Event[]
  /** Row-major, one row an event; NaN where absent. */
  readonly rows: Float64Array
  readonly columns: readonly string[]
  /** Tells the events' keys apart. */
  readonly keyIds: Uint32Array
  /** Events that came late: their times say nothing of their intervals. */
  readonly late: number
  /** The first event is in a calendar: models do not learn the rows either. */
  readonly scoreOnly: boolean
}

/**
 * Detection on events in order, each with the slot of its key: profiles and other keyed detectors first (`observe`),
 * then, with the model's scores of the rows, the verdicts (`decide`). Results do not depend on where a stream is cut
 * into batches.
 */
export class Detection {
  /** Row surprisals from here on are worth an explanation by the model. */
  explainFrom: Surprisal
  /** Names of the detectors that need a model, in the order in which scored rows hold their surprisals. */
  readonly modelNames: readonly string[]
  /** The detectors that keep memories: all but the first of `memories` and `shared` are theirs, in this order. */
  readonly keyedDetectors: readonly Pick<KeyedDetector, 'layout' | 'name' | 'former'>[]
  /** What is remembered of each key. */
  readonly memories: readonly SlotMemory[]
  /** What is remembered of all keys together. */
  readonly shared: readonly SharedMemory[]
  /** Of the values of secondary keys, where the pipeline has any. */
  readonly risks: SecondaryRisks | undefined
  readonly #secondaryKeys: readonly string[] | undefined
  readonly #keyed: readonly KeyedDetector[]
  #limits: readonly Limit[]
  #mutes: readonly Mute[]
  #calendars: Calendars
  readonly #lastAlerts: LastAlerts
  readonly #decision: Decision
  readonly #reasons: Reasons
  readonly #layout: RowLayout | undefined
  readonly #profile: Profile | undefined
  readonly #feedback: FeedbackMemory | undefined
  readonly #schema: FeatureSchema
  readonly #derived: DerivedFeatures | undefined
  readonly #numbersExpected: number
  #slots = new Int32Array(0)
  #surprisals: Float64Array[] = []
  #evidence: Evidence[][] = []
  /** Of each event, what the risk of its keys adds, and why; empty where the pipeline asks for no feedback. */
  #risks = new Float64Array(0)
  #riskShares = new Float64Array(0)
  #riskEvidence: Evidence[] = []
  #inCalendar = new Uint8Array(1)
  /** Of each event, the features that it lacks and its key usually carries. */
  #missing = new Uint16Array(0)
  #rows = new Float64Array(0)
  /** Whether the reasons of the event in hand are complete. */
  #isExplained = false

  constructor(pipeline: Pipeline, schema: FeatureSchema) {
    const { event, detection } = pipeline.spec
    this.#schema = schema
    const { keyed, modelNames } = detectorsOf(pipeline.spec)
    this.#keyed = keyed
    this.keyedDetectors = keyed
    this.modelNames = modelNames
    this.#limits = limitsOf(detection.rules, schema)
    this.#mutes = mutesOf(detection)
    this.#calendars = new Calendars(detection)
    this.#lastAlerts = new LastAlerts({
      refractoryMs: detection.refractorySeconds * 1000,
      refractoryEvents: refractoryEventsOf(keyed),
    })
    const profile = keyed.find((detector) => detector instanceof Profile)
    this.#decision = new Decision(detection, {
      lastAlerts: this.#lastAlerts,
      members: keyed.length + modelNames.length,
      isCalibrated: isCalibrated(keyed),
      hasProfiles: profile !== undefined,
    })
    const { categories = [], secondaryKeys = [] } = event
    this.#secondaryKeys = event.secondaryKeys
    this.risks = event.secondaryKeys && new SecondaryRisks(event.secondaryKeys)
    if (detection.feedback !== undefined) {
      this.#feedback = new FeedbackMemory({
        categories,
        risks: this.risks,
        fieldOf: (feature) => fieldOf(feature, schema),
      })
      if (profile !== undefined) profile.guard = this.#feedback
    }
    if (detection.derivedFeatures !== undefined) this.#derived = new DerivedFeatures(detection.derivedFeatures, schema)
    this.memories = [this.#lastAlerts, ...keyed, ...[this.#feedback, this.#derived].filter((one) => one !== undefined)]
    this.shared = [this.#decision, ...keyed.map(({ shared }) => shared ?? nothing)]
    this.explainFrom = explainFromOf(this.#decision)
    this.#reasons = new Reasons(schema, [...categories, ...secondaryKeys, event.key])
    this.#profile = profile
    this.#numbersExpected = event.value === '' ? 0 : 1
    if (modelNames.length > 0)
      this.#layout = new RowLayout({ schema, hasValue: event.value !== '', hasKey: event.key !== '', profile })
    this.#surprisals = keyed.map(() => new Float64Array(0))
    this.#evidence = keyed.map(() => [])
  }

  /** Decides by other rules, mutes and calendars, and another budget or threshold, from the next event on. What was learnt stays. */
  use(detection: DetectionSpec): void {
    this.#limits = limitsOf(detection.rules, this.#schema)
    this.#mutes = mutesOf(detection)
    this.#lastAlerts.use(1000 * detection.refractorySeconds)
    this.#calendars = new Calendars(detection)
    this.#decision.use(detection)
    this.explainFrom = explainFromOf(this.#decision)
  }

  /** Learns what was said of an event of the key in `slot`. */
  learn(slot: number, feedback: Feedback): void {
    this.#feedback?.learn(slot, feedback)
  }

  /** The decision's budget. */
  get spent(): Spent {
    return this.#decision.spent
  }

  spendAtLeast(alerts: number): void {
    this.#decision.spendAtLeast(alerts)
  }

  /** Whether an event of that time is in a calendar. For models, those that are and those that are not belong in batches of their own. */
  isInCalendar(time: number): boolean {
    return this.#calendars.hold(time)
  }

  /** What a key costs in memory: more where events have more features. */
  get bytesPerKey(): number {
    let bytes = 0
    for (const memory of this.memories) bytes += memory.bytesPerKey
    return bytes
  }

  /** Scores events against the histories in their keys' slots, learns them, and lays out their rows for the model. */
  observe(given: readonly Event[], slots: Int32Array): Omit<ObservedBatch, 'keyIds'> {
    const derived = this.#derived
    const events = derived === undefined ? given : given.map((event, i) => derived.extend(slots[i]!, event))
    const columns = this.#layout?.columns ?? []
    const width = columns.length
    const lateBefore = this.#profile?.notLater ?? 0
    this.#reserve(events.length, width)
    this.#slots.set(slots.subarray(0, events.length))
    for (let i = 0; i < events.length; i++) {
      const event = events[i]!
      const slot = slots[i]!
      const isInCalendar = this.isInCalendar(event.time)
      this.#inCalendar[i] = isInCalendar ? 1 : 0
      for (let d = 0; d < this.#keyed.length; d++) {
        const evidence = this.#evidence[d]![i]!
        evidence.clear()
        const detector = this.#keyed[d]!
        this.#surprisals[d]![i] = isInCalendar
          ? observeUnlearnt(detector, slot, event, evidence)
          : detector.observe(slot, event, evidence)
      }
      if (this.#feedback !== undefined) {
        const evidence = this.#riskEvidence[i]!
        evidence.clear()
        this.#risks[i] = this.#feedback.observe(slot, event, evidence)
      }
      this.#missing[i] = this.#profile?.missing ?? 0
      this.#layout?.write(event, this.#rows, i * width, width)
    }
    const late = (this.#profile?.notLater ?? 0) - lateBefore
    return {
      events,
      rows: this.#rows.subarray(0, events.length * width),
      columns,
      late,
      scoreOnly: this.#inCalendar[0] === 1,
    }
  }

  /**
   * The verdicts of the batch last observed, in order. Without `scored` the model did not answer: the keyed detectors
   * and rules decide alone, and the verdicts say so.
   */
  decide({ events }: Pick<ObservedBatch, 'events'>, scored: ScoredRows | undefined, degraded?: Degradation): Verdict[] {
    const isUnanswered = this.modelNames.length > 0 && scored === undefined
    const missing = degraded ?? (isUnanswered ? 'ModelUnavailable' : undefined)
    return events.map((event, i) => this.#verdict(event, i, scored, missing))
  }

  #verdict(event: Event, i: number, scored: ScoredRows | undefined, degraded: Degradation | undefined): Verdict {
    const slot = this.#slots[i]!
    const scores: Record<string, number> = {}
    let sum = 0
    let answering = this.#keyed.length
    const isSpokenOf = this.#feedback?.knows(slot) === true
    for (let d = 0; d < this.#keyed.length; d++) {
      if (isSpokenOf) this.#surprisals[d]![i]! *= 1 - this.#accepted(slot, event, this.#evidence[d]![i]!)
      const surprisal = this.#surprisals[d]![i]!
      sum += surprisal
      scores[this.#keyed[d]!.name] = anomalyScoreOf(surprisal)
    }
    const models = scored?.surprisals ?? []
    for (let m = 0; m < models.length; m++) {
      let surprisal = models[m]![i]!
      if (Number.isNaN(surprisal)) continue
      if (isSpokenOf) surprisal *= 1 - this.#acceptedOfModel(slot, event, m, scored!.explanations.get(i))
      answering++
      sum += surprisal
      scores[this.modelNames[m]!] = anomalyScoreOf(surprisal)
    }
    const support = this.#lastAlerts.events(slot)
    const history =
      this.#keyed.length === 0
        ? this.#decision.events / (this.#decision.events + learningEvents)
        : support / (support + halfSupport)
    const decision = this.#decision
    const risk = this.#feedback === undefined ? 0 : this.#risks[i]!
    // The mean of the members: the maximum follows the worst of them.
    const mean = answering === 0 ? 0 : sum / answering
    const riskSum = risk * Math.max(1, answering)
    sum += riskSum
    if (risk > 0) this.#riskShares[i] = riskSum / sum
    const isHit = this.#reasons.begin(this.#limits, event)
    this.#isExplained = false
    const muted = this.#mutes.length === 0 ? undefined : this.#mutedOf(event, i, sum, scored)
    const isInCalendar = this.#inCalendar[i] === 1
    if (isInCalendar) decision.decideInCalendar(slot, mean, risk)
    else decision.decide(slot, event.time, mean, risk, muted)
    if (!this.#isExplained) this.#explain(i, sum, scored, decision.surprisal >= suspicious || decision.isAlert)
    const isExpected = isInCalendar && (isHit || decision.suppressedBy !== undefined)
    const isSilent = isExpected || decision.suppressedBy === 'Muted' || (isHit && muted?.() === true)
    const isWithoutModel = answering < this.#keyed.length + this.modelNames.length
    const verdict: { -readonly [Field in keyof Verdict]: Verdict[Field] } = {
      eventId: event.id,
      userId: event.key,
      timestamp: Number.isNaN(event.time) ? null : event.time,
      isAnomaly: (decision.isAlert || isHit) && !isSilent,
      anomalyScore: anomalyScoreOf(decision.surprisal),
      threshold: anomalyScoreOf(decision.threshold),
      confidence: isHit ? 1 : history * this.#shareCarried(event, this.#missing[i]!) * (isWithoutModel ? 0.5 : 1),
      modelVersion: this.modelNames.length === 0 ? 'NONE' : (scored?.modelVersionOf(i) ?? 'UNAVAILABLE'),
      reasons: this.#reasons.list,
      scores,
    }
    if (this.#secondaryKeys !== undefined) verdict.secondaryKeys = textsOf(this.#secondaryKeys, event.secondaryKeys)
    if (isSilent) verdict.suppressedBy = isExpected ? 'Calendar' : 'Muted'
    else if (decision.suppressedBy !== undefined && !isHit) verdict.suppressedBy = decision.suppressedBy
    if (degraded !== undefined) verdict.degraded = degraded
    else if (isWithoutModel && verdict.modelVersion !== 'LEARNING') verdict.degraded = 'ModelUnavailable'
    else if (event.isCut) verdict.degraded = 'SchemaFull'
    return verdict
  }

  /** Answers whether the event is muted, which depends on its reasons. */
  #mutedOf(event: Event, i: number, sum: Surprisal, scored: ScoredRows | undefined): () => boolean {
    return () => {
      if (!this.#isExplained) this.#explain(i, sum, scored, true)
      this.#isExplained = true
      return isMuted(this.#mutes, event.key, event.time, leadingFeature({ reasons: this.#reasons.list }))
    }
  }

  /** Of what made the event surprising, the share that was called normal for its key. */
  #accepted(slot: number, { categories = [] }: Event, { count, field, observed, contribution }: Evidence): number {
    let all = 0
    let accepted = 0
    for (let e = 0; e < count; e++) {
      all += contribution[e]!
      const x = field[e]! < 0 ? hashOf(categories[-1 - field[e]!]!) : observed[e]!
      if (this.#feedback!.accepts(slot, field[e]!, x)) accepted += contribution[e]!
    }
    return all > 0 ? accepted / all : 0
  }

  /** The same of what a model explained. */
  #acceptedOfModel(slot: number, event: Event, m: number, explanations: readonly RowExplanation[] = []): number {
    let all = 0
    let accepted = 0
    for (const { model, column, contribution } of explanations) {
      if (model !== m) continue
      all += contribution
      const feature = column === 'value.deviation' ? 'value' : column
      const field = fieldOf(feature, this.#schema)
      if (field === undefined) continue
      const x = field === valueField ? event.value : (event.features[field - firstFeature] ?? Number.NaN)
      if (this.#feedback!.accepts(slot, field, x)) accepted += contribution
    }
    return all > 0 ? accepted / all : 0
  }

  /** Of the numbers that an event of its key should have, how many it has: 0 to 1. */
  #shareCarried({ value, features }: Event, missing: number): number {
    let present = Number.isNaN(value) ? 0 : this.#numbersExpected
    const lacking = this.#numbersExpected - present + missing
    for (let f = 0; f < features.length; f++) if (!Number.isNaN(features[f]!)) present++
    return lacking === 0 ? 1 : present / (present + lacking)
  }

  /** Each detector speaks for its share of the sum of surprisals. */
  #explain(i: number, sum: Surprisal, scored: ScoredRows | undefined, isSuspicious: boolean): void {
    if (sum <= 0) return
    const reasons = this.#reasons
    reasons.keep(isSuspicious ? reasonsOfSuspicious : 1)
    for (let d = 0; d < this.#keyed.length; d++)
      reasons.addEvidence(this.#keyed[d]!.name, this.#evidence[d]![i]!, this.#surprisals[d]![i]! / sum)
    if (this.#feedback !== undefined && this.#risks[i]! > 0)
      reasons.addEvidence('feedback', this.#riskEvidence[i]!, this.#riskShares[i]!)
    const explanations = scored?.explanations.get(i)
    if (explanations === undefined) return
    for (const explanation of explanations) {
      const { model } = explanation
      reasons.addExplanation(this.modelNames[model]!, explanation, scored!.surprisals[model]![i]! / sum)
    }
  }

  #reserve(n: number, width: number): void {
    if (this.#rows.length < n * width) this.#rows = new Float64Array(n * width)
    if (this.#slots.length >= n) return
    this.#slots = new Int32Array(n)
    this.#missing = new Uint16Array(n)
    this.#inCalendar = new Uint8Array(n)
    if (this.#feedback !== undefined) {
      this.#risks = new Float64Array(n)
      this.#riskShares = new Float64Array(n)
      this.#riskEvidence = Array.from({ length: n }, () => new Evidence())
    }
    this.#surprisals = this.#keyed.map(() => new Float64Array(n))
    this.#evidence = this.#keyed.map(() => Array.from({ length: n }, () => new Evidence()))
  }
}

/** The detectors that keep memories, as new, and the names of those with a model. */
export function detectorsOf({ detection, event }: Pick<PipelineSpec, 'detection' | 'event'>) {
  const keyed: KeyedDetector[] = []
  const modelNames: string[] = []
  for (const detector of resolveDetectors(detection)) {
    if (detector.type === 'isolationForest' || detector.type === 'onnx') modelNames.push(detector.name)
    else keyed.push(detector.type === 'profile' ? new Profile(detector) : new Discord(detector.name))
  }
  if (event.categories !== undefined) keyed.push(new Categories(event.categories))
  return { keyed, modelNames }
}

export function refractoryEventsOf(keyed: readonly KeyedDetector[]): number {
  return Math.max(0, ...keyed.map((detector) => detector.refractoryEvents))
}

/** Whether a single member's surprisal is a tail probability: a discord's is not. */
export function isCalibrated(keyed: readonly KeyedDetector[]): boolean {
  return !keyed.some((detector) => detector instanceof Discord)
}

const explainFromOf = ({ theta }: Decision): Surprisal => Math.max(1, Math.min(4, 0.8 * theta))

/** The field of the number that a reason names. */
function fieldOf(feature: string, schema: FeatureSchema): number | undefined {
  if (feature === 'value') return valueField
  if (feature === 'interval') return intervalField
  if (feature === 'missing features') return missingField
  const index = schema.indexOf(feature)
  return index === undefined ? undefined : firstFeature + index
}

/** By the name of the field; without those that the event lacks. */
function textsOf(names: readonly string[], texts: readonly string[] = []): Readonly<Record<string, string>> {
  const named: Record<string, string> = {}
  for (const [s, name] of names.entries()) if (texts[s]) named[name] = texts[s]
  return named
}

const nothing: SharedMemory = { save: () => new Uint8Array(0), load: () => {} }
