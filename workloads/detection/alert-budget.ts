import type { Surprisal } from './detector.ts'

/**
 * How far an alert moves the threshold, in nats, and of what would alert in a block, how many times the quota moves it: it
 * rises by at most half of what it falls in a block without alerts, so that a flood of any height leaves it where it can
 * come back from. Smaller steps spend less on what is not learnt yet, larger ones are sooner back from a wrong start.
 *
 * Calibrated: simulated payments, six seeds, 3,000 a million: of the precision that the best fixed threshold had in
 * hindsight .957 with .015, .954 with .02, .965 with .01, which left a tenth of a budget of 1,000 unused. Discords: NAB,
 * KPIs found / false, means over starts up to .4 apart: 74.0, 215 / 54 as it is; 71.7, 214 / 66 with steps of .05;
 * 72.5, 209 / 50 with 1.2 quotas. (`node bench/quality/quality.ts --only decisions,nab,kpi`)
 */
const paces = { calibrated: { step: 0.015, quotas: 1.2 }, uncalibrated: { step: 0.03, quotas: 1 } } as const
const floor = 0.2
const cap = 40
/** A block of the quota has at least so many events, and so many expected alerts. */
const leastEvents = 10_000
const leastAlerts = 10
/** More than the budget by this factor is held back in every block. */
const quotaFactor = 1.3
/** What is asked of a key without history beside the threshold, in nats, and how soon that fades, in its events. */
const young = { most: 2, events: 20 } as const

/**
 * Surprisals from which on discords were seen to give so many alerts a thousand events, on half of the NAB and KPI
 * collections: they are no tail probabilities, since a key's first and busy hours count less.
 */
const beginningsOfDiscords: readonly (readonly [perThousand: number, theta: Surprisal])[] = [
  [0.25, 6.0],
  [0.5, 4.7],
  [1, 3.8],
  [2, 2.9],
  [5, 1.5],
]

/** Of a block of the quota. */
export interface Spent {
  readonly events: number
  readonly alerts: number
}

export interface AlertBudgetOptions {
  readonly perMillion: number
  /** Quota: the threshold goes where the budget is used. Ceiling: never below what is as rare as the budget asks for. */
  readonly mode?: 'Quota' | 'Ceiling'
  /** Whether a surprisal s is exceeded in exp(-s) of ordinary events; discords' alone are not. */
  readonly isCalibrated?: boolean
  /** Whether more is asked of keys without history. */
  readonly waitsForKeys?: boolean
}

/**
 * Holds the alert budget of a whole stream. A threshold on the surprisal moves on every event by step x (alert - rate), so
 * that in the long run the alerts per event equal the rate whatever the scores' distribution (the quantile tracker of
 * Gibbs & Candès, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021). It begins at -ln of the rate,
 * where calibrated scores would hold it. Beside it a quota: in no block of 10,000 events (or of as many as should have ten
 * alerts) are there more alerts than 1.3 times the budget, whatever the scores do. One budget serves all keys: keys stay
 * free to differ.
 */
export class AlertBudget {
  readonly #rate: number
  readonly #pace: (typeof paces)[keyof typeof paces]
  readonly #waitsForKeys: boolean
  readonly #least: Surprisal
  readonly #block: number
  readonly #quota: number
  #theta: Surprisal
  /** Of the block: events so far, alerts, and events that would have alerted without the quota. */
  #events = 0
  #used = 0
  #wished = 0

  constructor({ perMillion, mode = 'Quota', isCalibrated = true, waitsForKeys = false }: AlertBudgetOptions) {
    this.#rate = perMillion / 1e6
    this.#pace = isCalibrated ? paces.calibrated : paces.uncalibrated
    this.#waitsForKeys = waitsForKeys
    this.#block = Math.max(leastEvents, Math.round(leastAlerts / this.#rate))
    this.#quota = Math.floor(quotaFactor * this.#rate * this.#block)
    this.#theta = isCalibrated ? Math.max(floor, -Math.log(this.#rate)) : beginningOf(perMillion / 1000)
    this.#least = mode === 'Ceiling' ? -Math.log(this.#rate) : 0
  }

  /** The surprisal from which on an event of a key that had so many events alerts. */
  threshold(eventsOfKey: number): Surprisal {
    const theta = Math.max(this.#theta, this.#least)
    return this.#waitsForKeys ? theta + young.most * Math.exp(-eventsOfKey / young.events) : theta
  }

  /** The same for a key with a long history. */
  get theta(): Surprisal {
    return Math.max(this.#theta, this.#least)
  }

  set theta(theta: Surprisal) {
    this.#theta = Math.max(floor, Math.min(cap, theta))
  }

  /** Learns whether the next event would alert, refractory periods and rules left out; answers whether it may. */
  spend(wish: boolean): boolean {
    if (this.#events === this.#block) {
      this.#events = 0
      this.#used = 0
      this.#wished = 0
    }
    this.#events++
    let isAlert = false
    let x = -this.#rate
    if (wish) {
      if (this.#wished < this.#pace.quotas * this.#quota) x += 1
      this.#wished++
      isAlert = this.#used < this.#quota
      if (isAlert) this.#used++
    }
    this.theta = this.#theta + this.#pace.step * x
    return isAlert
  }

  get spent(): Spent {
    return { events: this.#events, alerts: this.#used }
  }

  /** As if at least so many alerts of the block were spent: by others, who judge by a copy of this budget. */
  spendAtLeast(alerts: number): void {
    this.#used = Math.max(this.#used, alerts)
  }

  /** Goes on from where another has come: its threshold, and what is spent of its block. */
  continue(former: AlertBudget): void {
    this.theta = former.#theta
    this.#events = Math.min(this.#block, former.#events)
    this.#used = former.#used
    this.#wished = former.#wished
  }

  static readonly bytes = 32

  /** Little-endian: threshold, then the block's events, alerts and would-be alerts. */
  save(into: DataView, offset: number): void {
    into.setFloat64(offset, this.#theta, true)
    into.setFloat64(offset + 8, this.#events, true)
    into.setFloat64(offset + 16, this.#used, true)
    into.setFloat64(offset + 24, this.#wished, true)
  }

  load(from: DataView, offset: number): void {
    this.theta = from.getFloat64(offset, true)
    this.#events = Math.min(this.#block, from.getFloat64(offset + 8, true))
    this.#used = from.getFloat64(offset + 16, true)
    this.#wished = from.getFloat64(offset + 24, true)
  }
}

/** Between the table's points, and beyond them along the last segment, linear in ln(rate). */
function beginningOf(perThousand: number): Surprisal {
  const table = beginningsOfDiscords
  let at = 1
  while (at < table.length - 1 && table[at]![0] < perThousand) at++
  const [lowRate, lowTheta] = table[at - 1]!
  const [highRate, highTheta] = table[at]!
  const share = Math.log(perThousand / lowRate) / Math.log(highRate / lowRate)
  return Math.min(cap, Math.max(floor, lowTheta + share * (highTheta - lowTheta)))
}
