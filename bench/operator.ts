import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { crd } from '../lib/pipeline/crd.ts'
import { definitions, deployments, pipelines } from '../operator/kinds.ts'
import { createOperator } from '../operator/operator.ts'
import { createOperatorMetrics } from '../operator/operator-metrics.ts'
import { createKubeClient } from '../operator/runtime/kube-client.ts'
import type { KubeObject } from '../operator/runtime/kube-object.ts'
import { startApiServer } from '../test/harness/apiserver/api-server.ts'
import { startFaultProxy } from '../test/harness/apiserver/fault-proxy.ts'

/** Many pipelines on one API server: `node bench/operator.ts [pipelines]`. One JSON line a figure. */

const count = Number(process.argv[2] ?? 1_000)
const probes = 50
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const tell = (what: string, fields: object): void =>
  void process.stdout.write(`${JSON.stringify({ what: `operator: ${what}`, pipelines: count, ...fields })}\n`)

const server = await startApiServer()
const proxy = await startFaultProxy(server)
const client = createKubeClient(server.kubeConfig, { userAgent: 'bench' })
const durations: number[] = []
const plain = createOperatorMetrics(new Registry())
const operator = createOperator({
  kubeConfig: proxy.kubeConfig,
  settings: { workloadImage: 'anomaly:bench', redisImage: 'redis:bench', logLevel: 'info' },
  leaseNamespace: 'default',
  identity: 'bench',
  concurrency: 8,
  log: silent,
  metrics: {
    ...plain,
    observer: { ...plain.observer, finished: (_, tookMs) => durations.push(tookMs) },
  },
  sampling: {
    openAdmin: () => ({
      lag: async () => new Map([[0, 0]]),
      topicOffsets: async () => new Map(),
      committedOffsets: async () => new Map(),
      createMissingTopics: async () => [],
      close() {},
    }),
  },
})

function apply(index: number, spec: object = {}): Promise<KubeObject> {
  const { apiVersion, kind } = pipelines
  const metadata = { name: `p${index}`, namespace: 'default' }
  const object = { apiVersion, kind, metadata, spec: { source: { brokers: ['localhost:1'] }, ...spec } }
  return client.apply(pipelines, object, { fieldManager: 'person', force: true })
}
const quantile = (values: readonly number[], q: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return Math.round((sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN) * 10) / 10
}
const calls = () => proxy.requests.filter(({ verb, path }) => verb !== 'watch' && !path.includes('/leases')).length
async function quiet(): Promise<void> {
  for (let before = -1; before !== calls(); await sleep(2_000)) before = calls()
}
/** Milliseconds from a change to the Deployment `payments-api` having these replicas again. */
async function until(index: number, replicas: number, began: number): Promise<number> {
  for (;;) {
    const { spec } = await client.get(deployments, { namespace: 'default', name: `p${index}-api` })
    if ((spec as { replicas: number }).replicas === replicas) return performance.now() - began
    await sleep(1)
  }
}

try {
  await client.create(definitions, crd() as unknown as KubeObject)
  for (let tries = 0; tries < 100; tries++) {
    if (
      await client.list(pipelines).then(
        () => true,
        () => false,
      )
    )
      break
    await sleep(100)
  }
  for (let index = 0; index < count; index++) await apply(index)
  const began = performance.now()
  await operator.start?.(new AbortController().signal)
  await quiet()
  const seconds = Math.round((performance.now() - began) / 100) / 10
  tell('converged', { seconds, calls: calls(), rssMebibytes: Math.round(process.memoryUsage().rss / 2 ** 20) })

  durations.length = 0
  proxy.clear()
  for (let index = 0; index < count; index++) {
    const key = { namespace: 'default', name: `p${index}` }
    await client.patch(pipelines, key, { metadata: { labels: { touched: 'yes' } } })
  }
  await quiet()
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((q) => quantile(durations, q))
  tell('reconciles with nothing to do', { reconciles: durations.length, p50, p95, p99, calls: calls() })

  const edits: number[] = []
  const drifts: number[] = []
  for (let index = 0; index < Math.min(probes, count); index++) {
    const edited = performance.now()
    await apply(index, { api: { replicas: 3 } })
    edits.push(await until(index, 3, edited))
    const key = { namespace: 'default', name: `p${index}-api` }
    const drifted = performance.now()
    await client.patch(deployments, key, { spec: { replicas: 9 } })
    drifts.push(await until(index, 3, drifted))
  }
  tell('edit to child, ms', { p50: quantile(edits, 0.5), p99: quantile(edits, 0.99) })
  tell('drift to healed, ms', { p50: quantile(drifts, 0.5), p99: quantile(drifts, 0.99) })
} finally {
  await operator.stop?.()
  client.close()
  await proxy.stop()
  await server.stop()
}
