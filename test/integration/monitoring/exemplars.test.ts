import { expect } from 'chai'
import { Registry } from 'prom-client'
import type { HttpPart } from '../../../lib/http-part.ts'
import type { Part } from '../../../lib/lifecycle.ts'
import { createMetrics } from '../../../lib/metrics.ts'
import { createProbes } from '../../../lib/probes.ts'
import { startTelemetry } from '../../../lib/telemetry.ts'
import { type Prometheus, startPrometheus } from '../../../tools/servers/prometheus.ts'
import { requireCommands } from '../../../tools/servers/server.ts'
import { eventually } from '../../harness/eventually.ts'
import { type OtlpReceiver, startOtlpReceiver } from '../../harness/otlp-receiver.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'

describe('Exemplars', () => {
  let receiver: OtlpReceiver
  let telemetry: Part
  let probes: HttpPart
  let prometheus: Prometheus
  before(async () => {
    await requireCommands({ prometheus: 'prometheus' })
    receiver = await startOtlpReceiver()
    telemetry = await startTelemetry({ endpoint: receiver.endpoint, serviceName: 'test' })
    const registry = new Registry()
    const metrics = createMetrics(registry)
    metrics.countVerdicts({ anomaly: 1, normal: 2 })
    metrics.detectionSeconds.observe(0.007, 3, traceId)
    probes = createProbes({ port: 0, registry, stopping: new AbortController().signal })
    await probes.start!(new AbortController().signal)
    prometheus = await startPrometheus([{ address: `127.0.0.1:${probes.port}`, labels: {} }], { rules: 'groups: []' })
  })
  after(async () => {
    await prometheus?.stop()
    await probes?.stop?.()
    await telemetry?.stop?.()
    await receiver?.stop()
  })

  it('are in a real Prometheus, beside the metrics under their usual names', async () => {
    await eventually(async () => {
      const samples = await prometheus.query('anomaly_detection_total')
      expect(samples.map(({ metric, value }) => [metric.verdict, value])).to.have.deep.members([
        ['anomaly', 1],
        ['normal', 2],
      ])
      const seconds = Date.now() / 1000
      const asked = { query: 'anomaly_detection_time_seconds_bucket', start: `${seconds - 60}`, end: `${seconds + 60}` }
      const response = await fetch(`${prometheus.url}/api/v1/query_exemplars?${new URLSearchParams(asked)}`)
      const { data } = (await response.json()) as {
        readonly data: readonly { readonly exemplars: readonly { readonly labels: object; readonly value: string }[] }[]
      }
      expect(data[0]?.exemplars.map(({ labels, value }) => ({ labels, value }))).to.deep.equal([
        { labels: { trace_id: traceId }, value: '0.007' },
      ])
    })
  })
})
