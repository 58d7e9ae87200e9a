import { resolveDecision } from '../../lib/pipeline/resolve-pipeline.ts'
import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import { AlertBudget } from './alert-budget.ts'
import { surprisalOf } from './anomaly-score.ts'
import type { SharedMemory, Surprisal } from './detector.ts'
import type { Episodes } from './episodes.ts'
import { TailHistogram, type TailShape } from './tail-histogram.ts'
import type { Suppression } from './verdict.ts'

/** Before so many events of a stream its scores mean nothing: only rules alert. */
export const learningEvents = 200
/** An event of the same episode alerts all the same if it is that much more surprising than the alert was. */
const escalation = 1.5
/** The mean is used as it is before so many of them were counted. */
const leastCounted = 100
const stepsOfMean: TailShape = { bins: 200, min: 0, width: 0.1, capacity: 65_000, priorShape: 0.7, priorCount: 20 }

export interface DecisionOptions {
  readonly episodes: Episodes
  /** Detectors whose surprisals are averaged. */
  readonly members: number
}

/** Whether an event is called an anomaly: its mean surprisal calibrated and held against threshold or alert budget. */
export class Decision implements SharedMemory {
  /** Of the event last decided. */
  surprisal: Surprisal = 0
  threshold: Surprisal = 0
  isAlert = false
  suppressedBy: Suppression | undefined
  readonly #episodes: Episodes
  /** The mean of several members has a distribution of its own; a single member's surprisal is calibrated already. */
  readonly #means: TailHistogram | undefined
  readonly #budget: AlertBudget | undefined
  readonly #fixedThreshold: Surprisal
  /** What a fixed threshold for the budget would be if surprisals were exact. */
  readonly #nominal: Surprisal
  #events = 0

  constructor(spec: DetectionSpec, { episodes, members }: DecisionOptions) {
    const decision = resolveDecision(spec)
    this.#episodes = episodes
    this.#means = members > 1 ? new TailHistogram(stepsOfMean) : undefined
    this.#budget = decision.type === 'alertBudget' ? new AlertBudget(decision.perMillion) : undefined
    this.#fixedThreshold = decision.type === 'threshold' ? surprisalOf(decision.anomalyScore) : 0
    this.#nominal = decision.type === 'threshold' ? this.#fixedThreshold : -Math.log(decision.perMillion / 1e6)
  }

  /** Events decided so far. */
  get events(): number {
    return this.#events
  }

  /** Where the threshold on the mean is. */
  get theta(): Surprisal {
    return this.#budget?.theta ?? this.#fixedThreshold
  }

  /** Decides on the next event, of the key in `slot`, and learns from it. */
  decide(slot: number, time: number, mean: Surprisal): void {
    const means = this.#means !== undefined && this.#means.total >= leastCounted ? this.#means : undefined
    const surprisal = means?.surprisal(mean) ?? mean
    const theta = this.#budget?.theta ?? 0
    const threshold = this.#budget === undefined ? this.#fixedThreshold : (means?.surprisal(theta) ?? theta)
    const isReached = this.#budget === undefined ? surprisal >= threshold : mean >= theta
    let isAlert = false
    let suppressedBy: Suppression | undefined
    if (isReached && mean > 0) {
      if (this.#events < learningEvents) suppressedBy = 'Learning'
      else if (this.#episodes.goesOn(slot, time) && mean < escalation * this.#episodes.lastAlert(slot))
        suppressedBy = 'Refractory'
      else isAlert = true
    } else if (surprisal >= this.#nominal && this.#events >= learningEvents) suppressedBy = 'Budget'
    this.#means?.add(mean)
    this.#budget?.learn(isAlert)
    this.#events++
    this.#episodes.learn(slot, time, mean, isAlert)
    this.surprisal = surprisal
    this.threshold = threshold
    this.isAlert = isAlert
    this.suppressedBy = suppressedBy
  }

  /** Little-endian: threshold, number of events, distribution of the mean. */
  save(): Uint8Array {
    const bytes = new Uint8Array(16 + (this.#means?.bytes ?? 0))
    const view = new DataView(bytes.buffer)
    view.setFloat64(0, this.#budget?.theta ?? Number.NaN, true)
    view.setFloat64(8, this.#events, true)
    this.#means?.save(view, 16)
    return bytes
  }

  load(bytes: Uint8Array): void {
    const length = 16 + (this.#means?.bytes ?? 0)
    if (bytes.length !== length) throw new RangeError(`${bytes.length} bytes are no memory of a decision`)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const theta = view.getFloat64(0, true)
    if (this.#budget !== undefined && !Number.isNaN(theta)) this.#budget.theta = theta
    this.#events = view.getFloat64(8, true)
    this.#means?.load(view, 16)
  }
}
