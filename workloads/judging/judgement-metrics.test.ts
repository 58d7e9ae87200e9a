import { expect } from 'chai'
import { Registry } from 'prom-client'
import { createMetrics } from '../../lib/metrics.ts'
import type { Episode } from '../detection/episode.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { Rejection } from '../wire/rejection.ts'
import { judgementMetrics } from './judgement-metrics.ts'
import type { ProcessedBatch } from './processor.ts'

const verdict = { isAnomaly: false } as Verdict
const anomaly = { isAnomaly: true } as Verdict
const rejection: Rejection = { reason: 'InvalidTime', message: '' }

describe('judgementMetrics()', () => {
  it('counts every event once, and times it from being read until its batch took effect', async () => {
    let now = 1000
    const registry = new Registry()
    const clock = () => now
    const metrics = createMetrics(registry, clock)
    const observe = judgementMetrics({ metrics, clock, modelVersion: () => 'v1' })
    const batch: ProcessedBatch = {
      batch: { topic: 'events', partition: 0, records: [] },
      outcomes: [verdict, anomaly, rejection, verdict],
      events: [],
      published: [],
      episodes: [
        { change: 'Opened' },
        { change: 'Opened' },
        { change: 'Updated' },
        { change: 'Closed', partOf: 'e' },
      ] as unknown as readonly Episode[],
      late: 2,
      given: 1,
      began: 1000,
      took: 1,
    }
    const committed = observe(batch)
    now = 1200
    const dropped = observe(batch)
    expect(metrics.lately.totals).to.deep.equal({ events: 0, alerts: 0, episodes: 0, rejected: 0, late: 0 })
    now = 1400
    committed()
    expect(dropped).to.be.a('function')
    expect(metrics.lately.totals).to.deep.equal({ events: 3, alerts: 1, episodes: 1, rejected: 1, late: 2 })
    const lines = (await registry.metrics()).split('\n')
    for (const line of [
      'anomaly_detection_total{verdict="anomaly"} 1',
      'anomaly_detection_total{verdict="normal"} 2',
      'anomaly_detection_time_seconds_bucket{le="0.25"} 0',
      'anomaly_detection_time_seconds_bucket{le="0.5"} 2',
      'anomaly_events_late_total 2',
      'anomaly_batches_total 1',
    ])
      expect(lines).to.include(line)
  })
})
