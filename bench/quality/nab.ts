/**
 * The scoring rule of the Numenta Anomaly Benchmark on decisions already taken (Lavin & Ahmad 2015, "Evaluating Real-Time
 * Anomaly Detection Algorithms", section III; the arithmetic is that of numenta/NAB `nab/sweeper.py` and `Runner.normalize`).
 */

/** What right, wrong and missing alerts weigh: one of the benchmark's cost profiles. */
export interface CostMatrix {
  readonly tpWeight: number
  readonly fpWeight: number
  readonly fnWeight: number
}

/** Rows of a series that belong to one anomaly; both ends are in it. */
export interface AnomalyWindow {
  readonly first: number
  readonly last: number
}

export interface DecidedSeries {
  /** Ascending and disjoint. */
  readonly windows: readonly AnomalyWindow[]
  /** One for each row of the series: 1 = alert. */
  readonly alerts: Uint8Array
}

/**
 * The benchmark's score over all series: 0 for no alert at all, 100 for an alert on the first row of every window and none
 * elsewhere; below 0 where false alerts cost more than the found anomalies are worth.
 */
export function nabScore(collection: readonly DecidedSeries[], costs: CostMatrix): number {
  let score = 0
  let silent = 0
  let perfect = 0
  for (const series of collection) {
    score += rawScore(series, costs)
    silent += rawScore({ windows: series.windows, alerts: new Uint8Array(series.alerts.length) }, costs)
    perfect += series.windows.length * costs.tpWeight
  }
  return (100 * (score - silent)) / (perfect - silent)
}

/**
 * One series: each window counts once, by its earliest alert or as missed; each alert outside counts against, the less
 * the closer it follows a window. The probationary rows count neither way.
 */
export function rawScore({ windows, alerts }: DecidedSeries, costs: CostMatrix): number {
  const probation = probationaryRows(alerts.length)
  let score = 0
  let row = probation
  let previous: AnomalyWindow | undefined
  const scoreFalseAlerts = (end: number) => {
    for (; row < end; row++) if (alerts[row] !== 0) score += costs.fpWeight * valueAfter(previous, row)
  }
  for (const window of windows) {
    scoreFalseAlerts(window.first)
    if (window.last >= probation) {
      const earliest = alerts.subarray(0, window.last + 1).indexOf(1, Math.max(window.first, probation))
      score += earliest < 0 ? -costs.fnWeight : costs.tpWeight * valueWithin(window, earliest)
    }
    row = Math.max(row, window.last + 1)
    previous = window
  }
  scoreFalseAlerts(alerts.length)
  return score
}

/** Rows at the start of a series on which nothing is scored: 15 % of it, at most 15 % of 5,000. */
export function probationaryRows(rows: number): number {
  return Math.min(Math.floor(0.15 * rows), 750)
}

/** 1 on the window's first row, falling to almost 0 on its last. */
function valueWithin({ first, last }: AnomalyWindow, row: number): number {
  const width = last - first + 1
  return scaledSigmoid(-(last - row + 1) / width) / scaledSigmoid(-1)
}

/** Just below 0 right after a window, -1 far from it or before any. */
function valueAfter(previous: AnomalyWindow | undefined, row: number): number {
  return previous ? scaledSigmoid((row - previous.last) / (previous.last - previous.first)) : -1
}

/** From 1 (position -∞) through 0 to -1; -1 is the left edge of a window, 0 its right edge. */
function scaledSigmoid(position: number): number {
  return position >= 3 ? -1 : 2 / (1 + Math.exp(5 * position)) - 1
}
