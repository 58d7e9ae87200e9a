import { expect } from 'chai'
import { Registry } from 'prom-client'
import { createMetrics } from './metrics.ts'

describe('createMetrics', () => {
  it('has the documented names and labels, on the given registry only', async () => {
    const registry = new Registry()
    const metrics = createMetrics(registry)
    metrics.countVerdicts({ anomaly: 3, normal: 997 })
    metrics.countRejection('InvalidTime')
    metrics.consumerLag.set({ partition: 4 }, 12)
    metrics.detectionSeconds.observe(0.004, 998)
    metrics.detectionSeconds.observe(0.0002)
    metrics.detectionSeconds.observe(60)
    const lines = (await registry.metrics()).split('\n')
    for (const line of [
      'anomaly_detection_total{verdict="anomaly"} 3',
      'anomaly_detection_total{verdict="normal"} 997',
      'anomaly_events_rejected_total{reason="InvalidTime"} 1',
      'anomaly_state_lookups_total{outcome="hit"} 0',
      'anomaly_consumer_lag{partition="4"} 12',
      'anomaly_alert_rate 0.003',
      'anomaly_detection_time_seconds_bucket{le="0.005"} 999',
      'anomaly_detection_time_seconds_bucket{le="0.0025"} 1',
      'anomaly_detection_time_seconds_bucket{le="+Inf"} 1000',
      'anomaly_detection_time_seconds_count 1000',
    ])
      expect(lines).to.include(line)
    expect(lines.some((line) => line.startsWith('process_cpu_seconds_total '))).to.equal(true)
    expect(lines.some((line) => line.startsWith('anomaly_detection_time_seconds_sum 63.99'))).to.equal(true)
    expect(metrics.lately.totals).to.deep.equal({ events: 1000, alerts: 3, episodes: 0, rejected: 1, late: 0 })
    createMetrics(new Registry())
  })

  it('names one model at a time', async () => {
    const registry = new Registry()
    const metrics = createMetrics(registry)
    metrics.setModel('v1')
    metrics.setModel('v2')
    const lines = (await registry.metrics()).split('\n').filter((line) => line.startsWith('anomaly_model_info'))
    expect(lines).to.deep.equal(['anomaly_model_info{version="v2"} 1'])
  })
})
