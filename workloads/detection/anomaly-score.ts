import type { Surprisal } from './detector.ts'

/** Beyond one in a million no history vouches for a probability any more: the score only keeps the order. */
const vouched = -Math.log(1e-6)

/**
 * Anomaly score in [0, 1) of a surprisal: 1 - tail probability, so 0.999 means that one normal event in a thousand looks
 * like this or worse. Strictly increasing: past one in a million the distance to 1 shrinks as 1/(1 + x) instead of
 * exp(-x), with the same slope at the joint, since doubles next to 1 are 1e-16 apart and exp(-40) would be a tie.
 */
export function anomalyScoreOf(surprisal: Surprisal): number {
  if (surprisal <= 0) return 0
  return surprisal <= vouched ? -Math.expm1(-surprisal) : 1 - 1e-6 / (1 + surprisal - vouched)
}

/** The surprisal that has this anomaly score. */
export function surprisalOf(anomalyScore: number): Surprisal {
  if (anomalyScore <= 0) return 0
  return anomalyScore <= 1 - 1e-6 ? -Math.log1p(-anomalyScore) : vouched + 1e-6 / (1 - anomalyScore) - 1
}
