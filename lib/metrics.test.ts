import { expect } from 'chai'
import { Registry } from 'prom-client'
import { createMetrics } from './metrics.ts'

describe('createMetrics', () => {
  it('has the documented names and labels, on the given registry only', async () => {
    const registry = new Registry()
    const metrics = createMetrics(registry)
    metrics.detections.inc({ verdict: 'anomaly' }, 3)
    metrics.rejections.inc({ reason: 'InvalidTime' })
    metrics.consumerLag.set({ partition: 4 }, 12)
    metrics.alertRate.set(0.001)
    metrics.detectionSeconds.observe(0.004)
    const lines = (await registry.metrics()).split('\n')
    for (const line of [
      'anomaly_detection_total{verdict="anomaly"} 3',
      'anomaly_detection_total{verdict="normal"} 0',
      'anomaly_events_rejected_total{reason="InvalidTime"} 1',
      'anomaly_state_lookups_total{outcome="hit"} 0',
      'anomaly_consumer_lag{partition="4"} 12',
      'anomaly_alert_rate 0.001',
      'anomaly_detection_time_seconds_bucket{le="0.005"} 1',
      'anomaly_detection_time_seconds_bucket{le="0.0025"} 0',
    ])
      expect(lines).to.include(line)
    expect(lines.some((line) => line.startsWith('process_cpu_seconds_total '))).to.equal(true)
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
