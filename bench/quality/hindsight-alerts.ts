/**
 * The decisions of a fixed threshold on scores that have no calibration of their own: the lowest threshold, found with
 * hindsight, that raises at most `budget` alerts over all series, where a series is not alerted again within
 * `refractoryRows` rows. No causal rule could know that threshold, so this flatters the baseline that it is used for.
 *
 * Returns one column of decisions for each series: 1 = alert.
 */
export function hindsightAlerts(
  scores: readonly Float64Array[],
  { budget, refractoryRows }: { readonly budget: number; readonly refractoryRows: number },
): Uint8Array[] {
  const thresholds = new Float64Array(scores.reduce((rows, series) => rows + series.length, 0))
  let at = 0
  for (const series of scores) {
    thresholds.set(series, at)
    at += series.length
  }
  thresholds.sort()
  const decide = (threshold: number) => scores.map((series) => alertsAt(series, threshold, refractoryRows))
  let tooLow = -1
  let within = thresholds.length
  while (within - tooLow > 1) {
    const middle = (tooLow + within) >>> 1
    if (count(decide(thresholds[middle]!)) > budget) tooLow = middle
    else within = middle
  }
  return decide(thresholds[within] ?? Number.POSITIVE_INFINITY)
}

function alertsAt(scores: Float64Array, threshold: number, refractoryRows: number): Uint8Array {
  const alerts = new Uint8Array(scores.length)
  for (let row = 0; row < scores.length; row++) {
    if (scores[row]! < threshold) continue
    alerts[row] = 1
    row += refractoryRows
  }
  return alerts
}

function count(decisions: readonly Uint8Array[]): number {
  let alerts = 0
  for (const series of decisions) for (const alert of series) alerts += alert
  return alerts
}
