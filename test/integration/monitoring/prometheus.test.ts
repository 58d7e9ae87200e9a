import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import { createOperatorMetrics } from '../../../operator/operator-metrics.ts'
import type { KubeObject } from '../../../operator/runtime/kube-object.ts'
import { dashboards } from '../../../tools/generate/dashboards.ts'
import { type Prometheus, startPrometheus } from '../../../tools/servers/prometheus.ts'
import {
  freePorts,
  removeFolder,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../../../tools/servers/server.ts'
import { createRecordMetrics } from '../../../workloads/recorder/record-metrics.ts'
import { eventually } from '../../harness/eventually.ts'

const root = join(import.meta.dirname, '../../..')
const alerts = readFileSync(join(root, 'charts/anomaly-operator/files/monitoring/alerts.yaml'), 'utf8')
/** The same rules where a second stands for a minute. */
const quick = alerts.replace(/\b(\d+)m\b/g, '$1s').replace(/\b(\d+)h\b/g, (_, hours) => `${Number(hours) * 60}s`)
const labels = { namespace: 'shop', pipeline: 'payments', component: 'consumer', pod: 'payments-consumer-0' }
const patience = 120_000

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('A Prometheus that scrapes a pipeline', function () {
  this.timeout(300_000)
  let folder: string
  let pipeline: ServerProcess
  let api: string
  let operator: Server
  let recorder: Server
  let prometheus: Prometheus
  let status: Record<string, unknown>
  const metrics = new Registry()
  const ofOperator = createOperatorMetrics(metrics)
  ofOperator.readPipelines(() => [
    { apiVersion: '', kind: '', metadata: { namespace: 'shop', name: 'payments' }, status } as unknown as KubeObject,
  ])
  const recorded = new Registry()
  createRecordMetrics(recorded, () => ({ verdict: { records: 5, seconds: 0.2 } }))
  const conditions = (ready: string, degraded: string) => [
    { type: 'Ready', status: ready },
    { type: 'Degraded', status: degraded },
  ]

  before(async () => {
    folder = temporaryFolder('monitored')
    const [apiPort, probesPort] = await freePorts(2)
    api = `http://127.0.0.1:${apiPort}/api/v1/detect`
    const file = join(root, 'manifests/pipelines/minimal.yaml')
    const ports = ['--port', String(apiPort), '--probes-port', String(probesPort)]
    pipeline = await startServer(join(root, 'bin/anomaly'), ['run', '-f', file, ...ports], {
      log: join(folder, 'log'),
      ready: async () => (await fetch(`http://127.0.0.1:${probesPort}/readyz`)).ok,
    })
    status = {
      conditions: conditions('True', 'False'),
      source: { lag: 5 },
      alerts: { perMillion: 900, budgetPerMillion: 1000 },
      model: { fitTime: new Date().toISOString() },
    }
    ofOperator.setLeader(true)
    operator = createServer(async (_, response) => {
      // As an operator at work, which looks at a pipeline about once between two scrapes.
      ofOperator.observer.finished?.('shop/payments', 3, undefined)
      ofOperator.observer.started?.('shop/payments', 1)
      response.end(await metrics.metrics())
    })
    recorder = createServer(async (_, response) => response.end(await recorded.metrics()))
    const [address, recorderAddress] = await Promise.all([operator, recorder].map(listening))
    prometheus = await startPrometheus(
      [
        { address: `127.0.0.1:${probesPort}`, labels },
        { address: address!, labels: { namespace: 'anomaly-system' } },
        { address: recorderAddress!, labels: { ...labels, component: 'recorder', pod: 'payments-recorder-0' } },
      ],
      { rules: quick },
    )
  })
  after(async () => {
    await prometheus?.stop()
    operator?.close()
    recorder?.close()
    await pipeline?.stop()
    removeFolder(folder)
  })

  let count = 0
  const post = (body: object) =>
    fetch(api, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
  const event = () => ({ eventId: `e${count++}`, timestamp: Date.now(), userId: 'u', value: 1, features: {} })
  /** Sends an event and what else there is until the expectation holds. */
  async function whileSending(expectation: () => Promise<unknown>, send: () => Promise<unknown> = async () => {}) {
    await eventually(async () => {
      await Promise.all([post(event()), send()])
      await expectation()
    }, patience)
  }
  const firing = async (): Promise<string[]> =>
    (await prometheus.query('ALERTS{alertstate="firing"}')).map(({ metric }) => metric.alertname!)

  it('has something to show in every panel of the dashboards', async () => {
    const queries = Object.values(dashboards).flatMap(({ panels }) =>
      panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr }))),
    )
    for (const { title, expr } of queries) {
      const query = expr
        .replaceAll('$namespace', labels.namespace)
        .replaceAll('$pipeline', labels.pipeline)
        .replaceAll('$__rate_interval', '10s')
      await whileSending(
        async () => {
          const values = (await prometheus.query(query)).map(({ value }) => value)
          expect(values.some(Number.isFinite), `${title}: ${query}`).to.equal(true)
        },
        () => post({ eventId: 'no key', value: 1 }),
      )
    }
  })

  it('knows every variable of the dashboards', async () => {
    const named = await prometheus.query('count by (namespace, pipeline) (anomaly_pipeline_condition)')
    expect(named.map(({ metric }) => metric)).to.deep.equal([{ namespace: 'shop', pipeline: 'payments' }])
  })

  it('alerts on events that cannot be read', async () => {
    await whileSending(
      async () => expect(await firing()).to.include('AnomalyRejections'),
      () => post({ eventId: 'no key', value: 1 }),
    )
  })

  it('alerts on a pipeline whose events stop', async () => {
    await eventually(async () => expect(await firing()).to.include('AnomalyNoEvents'), patience)
    await whileSending(async () => expect(await firing()).to.not.include('AnomalyNoEvents'))
  })

  it('alerts on what the status of a pipeline tells', async () => {
    let lag = 20_000
    const told = (): Record<string, unknown> => ({
      conditions: conditions('False', 'True'),
      source: { lag },
      alerts: { perMillion: 9000, budgetPerMillion: 1000 },
    })
    const expected = ['AnomalyPipelineNotReady', 'AnomalyPipelineDegraded', 'AnomalyLag', 'AnomalyBudgetExceeded']
    await whileSending(
      async () => expect(await firing()).to.include.members(expected),
      async () => {
        lag += 100
        status = told()
      },
    )
  })

  it('alerts on an operator that does not lead', async () => {
    ofOperator.setLeader(false)
    await eventually(async () => expect(await firing()).to.include('AnomalyOperatorAbsent'), patience)
  })
})
