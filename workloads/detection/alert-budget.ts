import type { Surprisal } from './detector.ts'

const step = 0.2
const floor = 0.2
const cap = 40

/** Surprisals that were seen to give so many alerts a thousand events: where a new pipeline begins. */
const beginnings: readonly (readonly [perThousand: number, theta: number])[] = [
  [0.25, 6.97],
  [0.5, 5.9],
  [1, 4.56],
  [2, 3.52],
  [5, 2.59],
  [10, 2.14],
]

/**
 * Holds the alert budget of a whole stream: a threshold on the joint surprisal, moved on every event by
 * step x (alert - rate), so that in the long run the alerts per event equal the rate whatever the scores' distribution
 * (the quantile tracker of Gibbs & Candès, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021).
 * One controller serves all keys: keys stay free to differ.
 */
export class AlertBudget {
  readonly #rate: number
  theta: Surprisal

  constructor(perMillion: number) {
    this.#rate = perMillion / 1e6
    this.theta = beginningOf(perMillion / 1000)
  }

  /** Learns whether the event alerted, after refractory periods, rules left out. */
  learn(alerted: boolean): void {
    const theta = this.theta + step * ((alerted ? 1 : 0) - this.#rate)
    this.theta = Math.max(floor, Math.min(cap, theta))
  }
}

/** Between the table's points, and beyond them along the last segment, linear in ln(rate). */
function beginningOf(perThousand: number): Surprisal {
  let at = 1
  while (at < beginnings.length - 1 && beginnings[at]![0] < perThousand) at++
  const [lowRate, lowTheta] = beginnings[at - 1]!
  const [highRate, highTheta] = beginnings[at]!
  const share = Math.log(perThousand / lowRate) / Math.log(highRate / lowRate)
  return Math.min(cap, Math.max(floor, lowTheta + share * (highTheta - lowTheta)))
}
