import { expect } from 'chai'
import { createReportCollector, type JudgedEvent, type ReportCollectorOptions } from './report-collector.ts'

interface Change {
  readonly score?: number
  readonly alert?: boolean
  readonly label?: boolean | undefined
  readonly time?: number | null
  readonly key?: string
  readonly feature?: string
  readonly suppressedBy?: 'Refractory' | 'Budget'
}

function eventAt(index: number, change: Change = {}): JudgedEvent {
  const { score = 0.5, alert = false, label, time = index * 1000, key = 'a', feature = 'value', suppressedBy } = change
  return {
    index,
    value: index,
    label,
    verdict: {
      eventId: `row-${index}`,
      userId: key,
      timestamp: time,
      isAnomaly: alert,
      anomalyScore: score,
      threshold: 0.9,
      confidence: 1,
      modelVersion: 'NONE',
      reasons: [{ detector: 'profile', feature, observed: 1, expected: 2, contribution: 1 }],
      ...(suppressedBy && { suppressedBy }),
      scores: {},
    },
  }
}

function collect(events: Iterable<JudgedEvent>, options?: ReportCollectorOptions) {
  const collector = createReportCollector(options)
  for (const event of events) collector.add(event)
  return collector.finish()
}

const rows = (n: number, change: (index: number) => Change = () => ({})) =>
  Array.from({ length: n }, (_, index) => eventAt(index, change(index)))

describe('Report collector', () => {
  it('keeps a bucket a row while there are enough', () => {
    const run = collect(rows(4), { maxBuckets: 4 })
    expect(run.buckets.map(({ first, strongest }) => [first, strongest.index])).to.deep.equal([
      [0, 0],
      [1, 1],
      [2, 2],
      [3, 3],
    ])
  })

  it('covers every row with buckets of equal length, whatever the length of the run', () => {
    for (let n = 1; n < 200; n++) {
      const starts = collect(rows(n), { maxBuckets: 8 }).buckets.map(({ first }) => first)
      const step = starts[1] ?? n
      expect(starts, `${n} rows`).to.deep.equal(starts.map((_, i) => i * step))
      expect(n - starts.at(-1)!, `${n} rows`).to.be.within(1, Math.max(1, step))
      expect(starts.length, `${n} rows`).to.be.within(Math.min(n, 4), 8)
    }
  })

  it('keeps the strongest score, alert and false alert of a bucket, the earlier one of equals', () => {
    const alerts: Record<number, Change> = {
      3: { score: 0.95, alert: true, label: true },
      5: { score: 0.97, alert: true, label: false },
      6: { score: 0.97, alert: true, label: false },
      11: { score: 0.999, alert: false, label: false },
      14: { score: 0.96, alert: true, label: true },
    }
    const { buckets } = collect(
      rows(16, (i) => alerts[i] ?? { label: false }),
      { maxBuckets: 2 },
    )
    expect(
      buckets.map(({ strongest, alert, falseAlert, alerts, anomalies }) => [
        strongest.index,
        alert?.index,
        falseAlert?.index,
        alerts,
        anomalies,
      ]),
    ).to.deep.equal([
      [5, 3, 5, 3, 1],
      [11, 14, undefined, 1, 1],
    ])
  })

  it('counts alerts, hits and anomalies', () => {
    const { events, alerts, labelled, hits, falseAlerts, anomalies } = collect(
      rows(100, (i) => ({ alert: i % 10 === 0, label: i === 30 ? undefined : i % 20 === 0 })),
      { maxBuckets: 2 },
    )
    expect({ events, alerts, labelled, hits, falseAlerts, anomalies }).to.deep.equal({
      ...{ events: 100, alerts: 10, labelled: true, hits: 5, falseAlerts: 4, anomalies: 5 },
    })
  })

  it('tells an input without labels from one without anomalies', () => {
    expect(collect(rows(3)).labelled).to.equal(false)
    expect(collect(rows(3, () => ({ label: false }))).labelled).to.equal(true)
  })

  it('keeps the strongest alerts in order, the earlier one of equals first', () => {
    const scores = [0.91, 0.99, 0.95, 0.99, 0.92, 0.95]
    const run = collect(
      scores.map((score, index) => eventAt(index, { score, alert: true })),
      { maxAlerts: 4 },
    )
    expect(run.topAlerts.map(({ index }) => index)).to.deep.equal([1, 3, 2, 5])
  })

  it('holds no miss against an anomaly in the episode of an alert', () => {
    const run = collect([
      eventAt(0, { score: 0.99, label: true, alert: true }),
      eventAt(1, { score: 0.98, label: true, suppressedBy: 'Refractory' }),
      eventAt(2, { score: 0.7, label: true, suppressedBy: 'Budget' }),
      eventAt(3, { score: 0.8, label: true }),
      eventAt(4, { score: 0.85, label: false }),
    ])
    expect(run.misses).to.equal(2)
    expect(run.topMisses.map(({ index }) => index)).to.deep.equal([3, 2])
  })

  it('counts alerts by key and by leading feature, most first, of a bounded number of keys', () => {
    const keys = ['a', 'b', 'b', 'c', 'b', 'a']
    const run = collect(
      keys.map((key, i) => eventAt(i, { key, feature: i < 4 ? 'x' : 'y', alert: true, label: i === 1 })),
      { maxKeys: 2 },
    )
    expect(run.alertsByKey).to.deep.equal([
      { name: 'b', alerts: 3, hits: 1, falseAlerts: 2 },
      { name: 'a', alerts: 2, hits: 0, falseAlerts: 2 },
    ])
    expect(run.alertsByFeature).to.deep.equal([
      { name: 'x', alerts: 4, hits: 1, falseAlerts: 3 },
      { name: 'y', alerts: 2, hits: 0, falseAlerts: 2 },
    ])
  })

  it('is chronological where times come in order, or nearly', () => {
    const jitter = (i: number) => ({ time: 1000 * (i + 5 * ((i * 7) % 3)) })
    expect(collect(rows(5000, jitter))).to.include({ chronological: true, from: 0 })
    expect(collect(rows(5000))).to.include({ chronological: true, from: 0, to: 4_999_000 })
  })

  it('is not where files of different times are interleaved, where a time is missing, or where all are equal', () => {
    const year = 31_557_600_000
    expect(collect(rows(5000, (i) => ({ time: (i % 7) * year + i * 1000 }))).chronological).to.equal(false)
    expect(collect(rows(10, (i) => ({ time: (i % 2) * year + i * 1000 }))).chronological).to.equal(false)
    expect(collect(rows(100, (i) => ({ time: i === 50 ? null : i }))).chronological).to.equal(false)
    expect(collect(rows(100, () => ({ time: 5 }))).chronological).to.equal(false)
  })

  it('has an answer for a run without events', () => {
    const { events, buckets, chronological, from } = collect([])
    expect({ events, buckets, chronological, from }).to.deep.equal({
      ...{ events: 0, buckets: [], chronological: false, from: Number.NaN },
    })
  })

  it('refuses an odd number of buckets', () => {
    expect(() => createReportCollector({ maxBuckets: 7 })).to.throw(RangeError, 'maxBuckets')
  })
})
