import { resolveDecision } from '../../lib/pipeline/resolve-pipeline.ts'
import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import { AlertBudget, type Spent } from './alert-budget.ts'
import { surprisalOf } from './anomaly-score.ts'
import type { SharedMemory, Surprisal } from './detector.ts'
import type { LastAlerts } from './last-alerts.ts'
import { TailHistogram, type TailShape } from './tail-histogram.ts'
import type { Suppression } from './verdict.ts'

/** Before so many events of a stream only rules alert: the upper 5 % that every tail is fitted on has ten of them then. */
export const learningEvents = 200
/**
 * An event of the same episode alerts all the same if it is that much more surprising than the alert was: six seeds of
 * simulated payments were decided with it (`node bench/quality/quality.ts --only decisions`).
 */
const escalation = 1.5
/** The mean is used as it is before so many of them were counted. */
const leastCounted = 100
/**
 * The mean excess of a mean of two over its upper 5 % point is .59 where they are independent (a gamma distribution of
 * shape 2 and scale 1/2) and 1 where they agree.
 */
const stepsOfMean: TailShape = { bins: 200, min: 0, width: 0.1, capacity: 65_000, priorShape: 0.7, priorCount: 20 }

export interface DecisionOptions {
  readonly lastAlerts: LastAlerts
  /** Detectors whose surprisals are averaged. */
  readonly members: number
  /** Whether a single member's surprisal is a tail probability. */
  readonly isCalibrated: boolean
  /** Whether keys have profiles, which mean little while they are young. */
  readonly hasProfiles: boolean
}

/** What a fixed threshold for the budget would be if surprisals were exact; the fixed threshold where there is one. */
export function nominalThreshold(spec: Parameters<typeof resolveDecision>[0]): Surprisal {
  const decision = resolveDecision(spec)
  return decision.type === 'threshold' ? surprisalOf(decision.anomalyScore) : -Math.log(decision.perMillion / 1e6)
}

/** Whether an event is called an anomaly: its mean surprisal calibrated and held against threshold or alert budget. */
export class Decision implements SharedMemory {
  /** Of the event last decided. */
  surprisal: Surprisal = 0
  threshold: Surprisal = 0
  isAlert = false
  suppressedBy: Suppression | undefined
  readonly #lastAlerts: LastAlerts
  /** The mean of several members has a distribution of its own; a single member's surprisal is calibrated already. */
  readonly #means: TailHistogram | undefined
  #budget: AlertBudget | undefined
  #fixedThreshold: Surprisal = 0
  /** What a fixed threshold for the budget would be if surprisals were exact. */
  #nominal: Surprisal = 0
  readonly #options: DecisionOptions
  #events = 0

  constructor(spec: DetectionSpec, options: DecisionOptions) {
    this.#options = options
    this.#lastAlerts = options.lastAlerts
    this.#means = options.members > 1 ? new TailHistogram(stepsOfMean) : undefined
    this.use(spec)
  }

  /** Decides by another threshold or budget from the next event on. A budget goes on from where the former one had come. */
  use(spec: DetectionSpec): void {
    const { members, isCalibrated, hasProfiles } = this.#options
    const decision = resolveDecision(spec)
    const former = this.#budget
    this.#budget = undefined
    if (decision.type === 'alertBudget') {
      const { perMillion, mode } = decision
      this.#budget = new AlertBudget({
        perMillion,
        mode,
        isCalibrated: members > 1 || isCalibrated,
        waitsForKeys: hasProfiles,
      })
      if (former !== undefined) this.#budget.continue(former)
    }
    this.#fixedThreshold = decision.type === 'threshold' ? surprisalOf(decision.anomalyScore) : 0
    this.#nominal = nominalThreshold(spec)
  }

  /** Events decided so far. */
  get events(): number {
    return this.#events
  }

  /** Where the threshold is for a key with a long history. */
  get theta(): Surprisal {
    return this.#budget?.theta ?? this.#fixedThreshold
  }

  /** What is spent of the block that the last event belongs to; nothing without a budget. */
  get spent(): Spent {
    return this.#budget?.spent ?? { events: 0, alerts: 0 }
  }

  /** As if at least so many alerts of the block were spent. */
  spendAtLeast(alerts: number): void {
    this.#budget?.spendAtLeast(alerts)
  }

  /**
   * Decides on the next event, of the key in `slot`, and learns from it.
   * @param mean of the detectors' surprisals
   * @param risk what the event is more surprising by because of confirmed anomalies of its keys
   * @param isMuted asked of an event that would alert: it costs no budget then, and begins no refractory period
   */
  decide(slot: number, time: number, mean: Surprisal, risk: Surprisal, isMuted?: () => boolean): void {
    const lastAlerts = this.#lastAlerts
    const isHigh = this.#isHigh(slot, mean, risk)
    const { surprisal } = this
    const isLearning = this.#events < learningEvents
    let wish = false
    let suppressedBy: Suppression | undefined
    if (isHigh) {
      if (isLearning) suppressedBy = 'Learning'
      else if (lastAlerts.goesOn(slot, time) && surprisal < escalation * lastAlerts.lastAlert(slot))
        suppressedBy = 'Refractory'
      else if (isMuted?.() === true) suppressedBy = 'Muted'
      else wish = true
    } else if (surprisal >= this.#nominal && !isLearning) suppressedBy = 'Budget'
    const isAlert = this.#budget?.spend(wish) ?? wish
    if (wish && !isAlert) suppressedBy = 'Budget'
    // An episode is counted with its alerts: what else belongs to it, or is muted, would make the next one ordinary.
    if (suppressedBy !== 'Refractory' && suppressedBy !== 'Muted') this.#means?.add(mean)
    this.#events++
    lastAlerts.learn(slot, time, surprisal, isHigh, isAlert)
    this.isAlert = isAlert
    this.suppressedBy = suppressedBy
  }

  /** The same for an event in a calendar: it does not alert, and nothing is learnt from it. */
  decideInCalendar(slot: number, mean: Surprisal, risk: Surprisal): void {
    this.isAlert = false
    this.suppressedBy = this.#isHigh(slot, mean, risk) ? 'Calendar' : undefined
  }

  /** Whether the event reaches the threshold. */
  #isHigh(slot: number, mean: Surprisal, risk: Surprisal): boolean {
    const means = this.#means !== undefined && this.#means.total >= leastCounted ? this.#means : undefined
    this.surprisal = (means?.surprisal(mean) ?? mean) + risk
    this.threshold = this.#budget?.threshold(this.#lastAlerts.events(slot)) ?? this.#fixedThreshold
    return this.surprisal >= this.threshold && this.surprisal > 0
  }

  /** Little-endian: number of events, budget, distribution of the mean. */
  save(): Uint8Array {
    const bytes = new Uint8Array(8 + AlertBudget.bytes + (this.#means?.bytes ?? 0))
    const view = new DataView(bytes.buffer)
    view.setFloat64(0, this.#events, true)
    this.#budget?.save(view, 8)
    this.#means?.save(view, 8 + AlertBudget.bytes)
    return bytes
  }

  load(bytes: Uint8Array): void {
    const means = this.#means?.bytes ?? 0
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (bytes.length === 16 + means) this.#loadFormer(view)
    else if (bytes.length === 8 + AlertBudget.bytes + means) {
      this.#events = view.getFloat64(0, true)
      // A pipeline that had a fixed threshold left zeros.
      if (view.getFloat64(8, true) > 0) this.#budget?.load(view, 8)
      this.#means?.load(view, 8 + AlertBudget.bytes)
    } else throw new RangeError(`${bytes.length} bytes are no memory of a decision`)
  }

  /** Threshold on the mean, number of events, distribution of the mean. */
  #loadFormer(view: DataView): void {
    this.#events = view.getFloat64(8, true)
    this.#means?.load(view, 16)
    const theta = view.getFloat64(0, true)
    if (this.#budget !== undefined && !Number.isNaN(theta)) this.#budget.theta = this.#means?.surprisal(theta) ?? theta
  }
}
