import { expect } from 'chai'
import { Registry } from 'prom-client'
import { createOperatorMetrics } from './operator-metrics.ts'
import type { KubeObject } from './runtime/kube-object.ts'

const pipeline = (name: string, status: object): KubeObject => ({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name, namespace: 'shop' },
  status,
})

describe('OperatorMetrics', () => {
  it('measures each pipeline by its status, for as long as it is there', async () => {
    const registry = new Registry()
    const metrics = createOperatorMetrics(registry)
    const pipelines = new Map([
      [
        'payments',
        pipeline('payments', {
          conditions: [{ type: 'Ready', status: 'False' }],
          source: { lag: 40 },
          alerts: { perMillion: 90, budgetPerMillion: 100 },
          model: { version: 'v1', fitTime: '2025-06-01T12:00:00Z' },
        }),
      ],
      ['fresh', pipeline('fresh', {})],
    ])
    metrics.readPipelines(() => pipelines.values())
    const lines = async () => (await registry.metrics()).split('\n').filter((line) => /^anomaly_pipeline_/.test(line))
    const labels = 'namespace="shop",pipeline="payments"'
    const found = await lines()
    expect(found).to.include.members([
      `anomaly_pipeline_condition{${labels},type="Ready",status="True"} 0`,
      `anomaly_pipeline_condition{${labels},type="Ready",status="False"} 1`,
      `anomaly_pipeline_condition{${labels},type="Ready",status="Unknown"} 0`,
      `anomaly_pipeline_lag{${labels}} 40`,
      `anomaly_pipeline_alerts_per_million{${labels}} 90`,
      `anomaly_pipeline_alert_budget_per_million{${labels}} 100`,
    ])
    expect(found.filter((line) => line.startsWith('anomaly_pipeline_model_age_seconds'))).to.have.length(1)
    expect(found.join('\n')).to.not.contain('fresh')
    pipelines.delete('payments')
    expect(await lines()).to.deep.equal([])
  })
})
