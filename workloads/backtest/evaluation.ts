/**
 * How good scores and decisions were, given the truth. Pure functions over whole columns: a score, a label (1 = anomaly)
 * and a decision (1 = alert) for each row. Figures without a meaning (recall where nothing was an anomaly) are NaN.
 */

/** The scores of the anomalies and those of the normal rows, each ascending: all that a measure of ranking needs. */
export interface RankedScores {
  readonly anomalous: Float64Array
  readonly normal: Float64Array
}

/**
 * Sorts the two classes apart, natively, and so without an index: half a second for three million rows.
 * Throws a RangeError where the lengths differ or a score is NaN.
 */
export function rankScores(scores: Float64Array, labels: Uint8Array): RankedScores {
  sameLength('labels', labels.length, 'scores', scores.length)
  let anomalies = 0
  for (const label of labels) if (label !== 0) anomalies++
  const anomalous = new Float64Array(anomalies)
  const normal = new Float64Array(scores.length - anomalies)
  let a = 0
  let n = 0
  for (let row = 0; row < scores.length; row++) {
    const score = scores[row]!
    if (Number.isNaN(score)) throw new RangeError(`Cannot rank row ${row}: its score is NaN`)
    if (labels[row] !== 0) anomalous[a++] = score
    else normal[n++] = score
  }
  return { anomalous: anomalous.sort(), normal: normal.sort() }
}

/**
 * Area under the ROC curve: the probability that an anomaly scores above a normal row, a tie counting half
 * (the Mann-Whitney U statistic over the number of pairs; Hanley & McNeil 1982, Radiology 143(1)).
 */
export function rocAuc({ anomalous, normal }: RankedScores): number {
  let below = 0
  let belowOrTied = 0
  let twiceU = 0
  for (const score of anomalous) {
    while (below < normal.length && normal[below]! < score) below++
    while (belowOrTied < normal.length && normal[belowOrTied]! <= score) belowOrTied++
    twiceU += below + belowOrTied
  }
  return twiceU / 2 / (anomalous.length * normal.length)
}

/**
 * Average precision: Σ (R_n - R_{n-1}) P_n over the distinct scores as thresholds, highest first, rows of one score
 * entering together; not interpolated. The definition of scikit-learn's `average_precision_score`.
 */
export function averagePrecision(ranked: RankedScores): number {
  let sum = 0
  let reached = 0
  descend(ranked, (hits, falseAlerts) => {
    sum += (hits - reached) * (hits / (hits + falseAlerts))
    reached = hits
  })
  return sum / ranked.anomalous.length
}

export interface CurvePoint {
  /** Alerting on every score at or above this one … */
  readonly threshold: number
  /** … finds this share of the anomalies … */
  readonly recall: number
  /** … and this share of the alerts is right. */
  readonly precision: number
}

/**
 * The precision-recall curve from high thresholds to low, for a plot: the points where recall rises, thinned to at most
 * `limit` at even steps of recall; the first point and the one that reaches recall 1 always stay.
 */
export function precisionRecallCurve(ranked: RankedScores, limit = 500): CurvePoint[] {
  const anomalies = ranked.anomalous.length
  const step = Math.max((anomalies - 1) / (limit - 1), 1)
  const points: CurvePoint[] = []
  let due = 1
  descend(ranked, (hits, falseAlerts, threshold) => {
    if (hits < due) return
    points.push({ threshold, recall: hits / anomalies, precision: hits / (hits + falseAlerts) })
    due = Math.min(1 + step * (Math.floor((hits - 1) / step) + 1), anomalies)
  })
  return points
}

export interface DecisionQuality {
  readonly alerts: number
  /** Alerts that were anomalies. */
  readonly hits: number
  readonly precision: number
  readonly recall: number
  readonly alertsPerMillion: number
}

/** Precision and recall of the decisions as they were taken, row by row. */
export function decisionQuality(decisions: Uint8Array, labels: Uint8Array): DecisionQuality {
  sameLength('labels', labels.length, 'decisions', decisions.length)
  let alerts = 0
  let hits = 0
  let anomalies = 0
  for (let row = 0; row < labels.length; row++) {
    const alert = decisions[row] !== 0
    const anomaly = labels[row] !== 0
    if (alert) alerts++
    if (anomaly) anomalies++
    if (alert && anomaly) hits++
  }
  return {
    alerts,
    hits,
    precision: hits / alerts,
    recall: hits / anomalies,
    alertsPerMillion: (alerts / labels.length) * 1e6,
  }
}

/**
 * Walks the distinct scores from the highest down: how many anomalies and how many normal rows are at or above each.
 * Ends with the last anomaly: lower thresholds change no measure here.
 */
function descend(
  { anomalous, normal }: RankedScores,
  visit: (hits: number, falseAlerts: number, threshold: number) => void,
): void {
  let a = anomalous.length
  let n = normal.length
  while (a > 0) {
    const threshold = anomalous[a - 1]!
    while (a > 0 && anomalous[a - 1] === threshold) a--
    while (n > 0 && normal[n - 1]! >= threshold) n--
    visit(anomalous.length - a, normal.length - n, threshold)
  }
}

function sameLength(what: string, length: number, of: string, expected: number): void {
  if (length !== expected) throw new RangeError(`Cannot compare ${length} ${what} with ${expected} ${of}`)
}
