import type { Verdict } from '../../detection/verdict.ts'

/** An event of the run as the report sees it. The collector keeps some of them: each is an object of its own. */
export interface JudgedEvent {
  /** Row of the input, from 0. */
  readonly index: number
  readonly verdict: Verdict
  /** NaN without a value. */
  readonly value: number
  /** Whether it truly is an anomaly; undefined where the input has no labels. */
  readonly label?: boolean | undefined
}

/** What neighbouring events have in common. */
export interface Bucket {
  /** Row of its first event. */
  readonly first: number
  readonly strongest: JudgedEvent
  /** The strongest alert that is right, or of unknown truth. */
  readonly alert: JudgedEvent | undefined
  /** The strongest alert on a row that is labelled normal. */
  readonly falseAlert: JudgedEvent | undefined
  readonly alerts: number
  /** Rows labelled as anomalies. */
  readonly anomalies: number
  readonly earliest: number
  readonly latest: number
  /** In force at its end. */
  readonly threshold: number
}

export interface AlertCount {
  readonly name: string
  readonly alerts: number
  /** Of them on events labelled as anomalies. */
  readonly hits: number
  /** Of them on events labelled normal. */
  readonly falseAlerts: number
}

export interface CollectedRun {
  readonly events: number
  /** Of the input, up to the last event: those that could not be read count too. */
  readonly rows: number
  readonly alerts: number
  /** Whether any event has a label. */
  readonly labelled: boolean
  /** Alerts on events labelled as anomalies. */
  readonly hits: number
  /** Alerts on events labelled normal. */
  readonly falseAlerts: number
  /** Events labelled as anomalies. */
  readonly anomalies: number
  /** Labelled anomalies that neither alerted nor belong to the episode of an alert. */
  readonly misses: number
  /** First and last event time; NaN where an event has none. */
  readonly from: number
  readonly to: number
  /** Whether the events came in order of time, roughly: then a time axis says more than row numbers. */
  readonly chronological: boolean
  /** In order of rows. */
  readonly buckets: readonly Bucket[]
  /** The strongest alerts, in order. */
  readonly topAlerts: readonly JudgedEvent[]
  /** The strongest of the misses, in order. */
  readonly topMisses: readonly JudgedEvent[]
  /** Most alerts first. */
  readonly alertsByKey: readonly AlertCount[]
  /** By the feature of the leading reason, most alerts first. */
  readonly alertsByFeature: readonly AlertCount[]
}

export interface ReportCollector {
  add(event: JudgedEvent): void
  finish(): CollectedRun
}

export interface ReportCollectorOptions {
  /** Buckets at most; between half as many and all of them are in use once there are as many rows. */
  readonly maxBuckets?: number
  readonly maxAlerts?: number
  readonly maxMisses?: number
  /** Keys whose alerts are counted one by one: the first that alert. */
  readonly maxKeys?: number
}

/**
 * Takes the events of a run one by one, in order of rows, and keeps what the report shows in bounded memory. A bucket
 * spans as many rows as needed: when all are full neighbours merge, and each spans twice as many from then on.
 */
export function createReportCollector(options: ReportCollectorOptions = {}): ReportCollector {
  const { maxBuckets = 1000, maxAlerts = 50, maxMisses = 15, maxKeys = 10_000 } = options
  if (!(maxBuckets >= 2 && maxBuckets % 2 === 0))
    throw new RangeError(`maxBuckets: ${maxBuckets} must be an even number above 0`)
  let buckets: MutableBucket[] = []
  let rowsPerBucket = 1
  let rowsInLast = 0
  let events = 0
  let rows = 0
  let alerts = 0
  let labelled = false
  let hits = 0
  let falseAlerts = 0
  let anomalies = 0
  let misses = 0
  let timed = true
  const topAlerts = createTop(maxAlerts)
  const topMisses = createTop(maxMisses)
  const alertsByKey = createAlertCounts(maxKeys)
  const alertsByFeature = createAlertCounts(maxKeys)

  return {
    add(event) {
      events++
      rows = event.index + 1
      if (buckets.length === 0 || rowsInLast === rowsPerBucket) {
        if (buckets.length === maxBuckets) {
          buckets = mergePairs(buckets)
          rowsPerBucket *= 2
        }
        buckets.push(emptyBucket(event))
        rowsInLast = 0
      }
      rowsInLast++
      include(buckets.at(-1)!, event)

      const { verdict, label } = event
      const hit = label === true
      if (verdict.timestamp === null) timed = false
      if (label !== undefined) labelled = true
      if (hit) anomalies++
      if (verdict.isAnomaly) {
        alerts++
        if (hit) hits++
        if (label === false) falseAlerts++
        topAlerts.offer(event)
        alertsByKey.count(verdict.userId, label)
        alertsByFeature.count(verdict.reasons[0]?.feature ?? '', label)
      } else if (hit && verdict.suppressedBy !== 'Refractory') {
        misses++
        topMisses.offer(event)
      }
    },
    finish: () => ({
      events,
      rows,
      alerts,
      labelled,
      hits,
      falseAlerts,
      anomalies,
      misses,
      ...(timed && events > 0 ? timeSpan(buckets) : { from: Number.NaN, to: Number.NaN, chronological: false }),
      buckets,
      topAlerts: topAlerts.list,
      topMisses: topMisses.list,
      alertsByKey: alertsByKey.sorted(),
      alertsByFeature: alertsByFeature.sorted(),
    }),
  }
}

type MutableBucket = { -readonly [Field in keyof Bucket]: Bucket[Field] }

function emptyBucket(first: JudgedEvent): MutableBucket {
  return {
    first: first.index,
    strongest: first,
    alert: undefined,
    falseAlert: undefined,
    alerts: 0,
    anomalies: 0,
    earliest: Number.POSITIVE_INFINITY,
    latest: Number.NEGATIVE_INFINITY,
    threshold: first.verdict.threshold,
  }
}

function include(bucket: MutableBucket, event: JudgedEvent): void {
  const { isAnomaly, timestamp, threshold } = event.verdict
  bucket.strongest = stronger(bucket.strongest, event)
  if (isAnomaly) {
    bucket.alerts++
    if (event.label === false) bucket.falseAlert = stronger(bucket.falseAlert, event)
    else bucket.alert = stronger(bucket.alert, event)
  }
  if (event.label) bucket.anomalies++
  if (timestamp !== null && timestamp < bucket.earliest) bucket.earliest = timestamp
  if (timestamp !== null && timestamp > bucket.latest) bucket.latest = timestamp
  bucket.threshold = threshold
}

/** Of an even number of buckets, in place of each two one. */
function mergePairs(buckets: readonly MutableBucket[]): MutableBucket[] {
  return Array.from({ length: buckets.length / 2 }, (_, pair) => {
    const one = buckets[2 * pair]!
    const other = buckets[2 * pair + 1]!
    return {
      first: one.first,
      strongest: stronger(one.strongest, other.strongest),
      alert: other.alert ? stronger(one.alert, other.alert) : one.alert,
      falseAlert: other.falseAlert ? stronger(one.falseAlert, other.falseAlert) : one.falseAlert,
      alerts: one.alerts + other.alerts,
      anomalies: one.anomalies + other.anomalies,
      earliest: Math.min(one.earliest, other.earliest),
      latest: Math.max(one.latest, other.latest),
      threshold: other.threshold,
    }
  })
}

/** The earlier one of two equals. */
function stronger(one: JudgedEvent | undefined, other: JudgedEvent): JudgedEvent {
  return one && one.verdict.anomalyScore >= other.verdict.anomalyScore ? one : other
}

/** Into how many stretches a run is cut to see whether it is chronological: disorder within one does not count. */
const stretches = 50

/**
 * The run is chronological where a walk through its stretches, each from its earliest time to its latest, is hardly longer
 * than the whole span: rows interleaved from files of different times go to and fro.
 */
function timeSpan(buckets: readonly Bucket[]): Pick<CollectedRun, 'from' | 'to' | 'chronological'> {
  const stride = Math.ceil(buckets.length / stretches)
  let from = Number.POSITIVE_INFINITY
  let to = Number.NEGATIVE_INFINITY
  let walk = 0
  let at = Number.NaN
  for (let first = 0; first < buckets.length; first += stride) {
    const stretch = buckets.slice(first, first + stride)
    const earliest = Math.min(...stretch.map((bucket) => bucket.earliest))
    const latest = Math.max(...stretch.map((bucket) => bucket.latest))
    walk += latest - earliest + (first > 0 ? Math.abs(earliest - at) : 0)
    at = latest
    from = Math.min(from, earliest)
    to = Math.max(to, latest)
  }
  return { from, to, chronological: to > from && walk <= 1.5 * (to - from) }
}

interface Top {
  readonly list: readonly JudgedEvent[]
  offer(event: JudgedEvent): void
}

/** The strongest events, in order; of equals the earlier ones. */
function createTop(limit: number): Top {
  const list: JudgedEvent[] = []
  return {
    list,
    offer(event) {
      const { anomalyScore } = event.verdict
      if (list.length === limit && !(list[limit - 1]!.verdict.anomalyScore < anomalyScore)) return
      const at = list.findLastIndex(({ verdict }) => verdict.anomalyScore >= anomalyScore) + 1
      list.splice(at, 0, event)
      if (list.length > limit) list.pop()
    },
  }
}

/** Counts alerts by name; names beyond the limit are not counted. */
function createAlertCounts(limit: number) {
  const counts = new Map<string, { -readonly [Field in keyof AlertCount]: AlertCount[Field] }>()
  return {
    count(name: string, label: boolean | undefined): void {
      let counted = counts.get(name)
      if (!counted) {
        if (counts.size === limit) return
        counted = { name, alerts: 0, hits: 0, falseAlerts: 0 }
        counts.set(name, counted)
      }
      counted.alerts++
      if (label === true) counted.hits++
      if (label === false) counted.falseAlerts++
    },
    sorted: (): readonly AlertCount[] => [...counts.values()].sort((one, other) => other.alerts - one.alerts),
  }
}
