import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { crd } from '../lib/pipeline/crd.ts'
import { definitions, deployments, pipelines } from '../operator/kinds.ts'
import { createKubeClient } from '../operator/runtime/kube-client.ts'
import type { KubeObject } from '../operator/runtime/kube-object.ts'
import { startApiServer } from '../test/harness/apiserver/api-server.ts'
import { startFaultProxy } from '../test/harness/apiserver/fault-proxy.ts'
import { eventually } from '../test/harness/eventually.ts'
import type { Measured } from './operator/process.ts'
import { quantile } from './spread.ts'

/**
 * Many pipelines of 21 children each on one API server: `node bench/operator.ts [pipelines]`. One JSON line a figure. The
 * references are a Go operator's with 1,000 small resources; `ratio` is to them, or else to the goal: below 1 is better.
 */

const count = Number(process.argv[2] ?? 1_000)
const probes = Math.min(50, count)
const idleSeconds = 10

const round = (value: number): number => Number(value.toPrecision(3))
const tell = (what: string, fields: object): void =>
  void process.stdout.write(`${JSON.stringify({ what: `operator: ${what}`, pipelines: count, ...fields })}\n`)

const server = await startApiServer()
const proxy = await startFaultProxy(server)
const client = createKubeClient(server.kubeConfig, { userAgent: 'bench' })
const folder = await mkdtemp(join(tmpdir(), 'anomaly-bench-'))
const kubeconfig = join(folder, 'kubeconfig')
await writeFile(kubeconfig, proxy.kubeConfig.exportConfig(), { mode: 0o600 })
// As bin/anomaly starts it.
const execArgv = ['--max-semi-space-size=4', '--disable-warning=ExperimentalWarning']
const env = { ...process.env, NODE_COMPILE_CACHE: join(import.meta.dirname, '../node_modules/.cache/compiled') }
const operator = fork(new URL('./operator/process.ts', import.meta.url), [kubeconfig], { execArgv, env })
const ended = once(operator, 'exit').then(() => {
  throw new Error('Cannot measure: the operator ended')
})
ended.catch(() => {})

async function ask(message: 'start' | 'measure'): Promise<Measured> {
  const answer = once(operator, 'message')
  operator.send(message)
  return (await Promise.race([answer, ended]))[0] as Measured
}
function apply(index: number, spec: object = {}): Promise<KubeObject> {
  const { apiVersion, kind } = pipelines
  const metadata = { name: `p${index}`, namespace: 'default' }
  const object = { apiVersion, kind, metadata, spec: { source: { brokers: ['localhost:1'] }, ...spec } }
  return client.apply(pipelines, object, { fieldManager: 'person', force: true })
}
const calls = () => proxy.requests.filter(({ verb, path }) => verb !== 'watch' && !path.includes('/leases')).length
/** Until nothing was asked of the API server for six seconds: a busy machine may hold all up for two. */
async function quiet(): Promise<void> {
  let before = -1
  for (let still = 0; still < 3; await sleep(2_000)) {
    still = before === calls() ? still + 1 : 0
    before = calls()
  }
}

/** Whether the pipeline says of each component that it is there, which is after the last child. */
async function hasStatus(name: string): Promise<boolean> {
  const { status } = await client.get(pipelines, { namespace: 'default', name })
  const { components = {} } = (status ?? {}) as { components?: Record<string, { desired?: number }> }
  const workloads = Object.values(components)
  return workloads.length === 4 && workloads.every(({ desired }) => desired !== 0)
}

/** Who waits for a Deployment to have so many replicas, by its name. */
const waiting = new Map<string, { readonly replicas: number; readonly done: (at: number) => void }>()
async function follow(signal: AbortSignal): Promise<void> {
  const { resourceVersion } = await client.list(deployments, { namespace: 'default', limit: 1 })
  const watch = { namespace: 'default', resourceVersion, timeoutSeconds: 3_600, idleTimeoutMs: 3_600_000, signal }
  const onEvent = ({ object }: { readonly object: KubeObject }): void => {
    const wanted = waiting.get(object.metadata.name)
    if (wanted?.replicas === (object.spec as { replicas?: number } | undefined)?.replicas)
      wanted?.done(performance.now())
  }
  void client.watch(deployments, { ...watch, onEvent }).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}
/** Milliseconds from before a change until the Deployment of the API has these replicas (again). */
async function until(index: number, replicas: number, change: () => Promise<unknown>): Promise<number> {
  const name = `p${index}-api`
  const began = performance.now()
  await change()
  const at = await new Promise<number>((done) => waiting.set(name, { replicas, done }))
  waiting.delete(name)
  return at - began
}

const watching = new AbortController()
try {
  await client.create(definitions, crd() as unknown as KubeObject)
  await eventually(() => client.list(pipelines))
  for (let index = 0; index < count; index++) await apply(index)

  const began = performance.now()
  await ask('start')
  const lacking = new Set(Array.from({ length: count }, (_, index) => `p${index}`))
  for (; lacking.size > 0; await sleep(500)) for (const name of lacking) if (await hasStatus(name)) lacking.delete(name)
  const seconds = round((performance.now() - began) / 1000)
  await quiet()
  const { rssMebibytes, peakRssMebibytes } = await ask('measure')
  tell('from nothing to all children', { seconds, calls: calls() })
  tell('memory, MiB', {
    rss: rssMebibytes,
    peak: peakRssMebibytes,
    reference: 69,
    goal: 250,
    ratio: round(rssMebibytes / 69),
  })

  proxy.clear()
  await sleep(idleSeconds * 1000)
  tell('idle', { seconds: idleSeconds, calls: calls(), goal: 0 })

  await ask('measure')
  proxy.clear()
  for (let index = 0; index < count; index++) {
    const key = { namespace: 'default', name: `p${index}` }
    await client.patch(pipelines, key, { metadata: { labels: { touched: 'yes' } } })
  }
  await quiet()
  const { durations } = await ask('measure')
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => round(quantile(durations, share))) as [
    number,
    number,
    number,
  ]
  const reference = { p50: 4.4, p99: 46 }
  const ratio = { p50: round(p50 / reference.p50), p99: round(p99 / reference.p99) }
  tell('reconcile with nothing to do, ms', { reconciles: durations.length, p50, p95, p99, reference, goal: 50, ratio })
  tell('calls of reconciles with nothing to do', { calls: calls(), goal: 0 })

  await follow(watching.signal)
  const edits: number[] = []
  const drifts: number[] = []
  for (let index = 0; index < probes; index++) {
    edits.push(await until(index, 3, () => apply(index, { api: { replicas: 3 } })))
    const key = { namespace: 'default', name: `p${index}-api` }
    const drift = () => client.patch(deployments, key, { spec: { replicas: 9 } })
    drifts.push(await until(index, 3, drift))
  }
  const told = (values: readonly number[]) => ({
    p50: round(quantile(values, 0.5)),
    p99: round(quantile(values, 0.99)),
    goal: 60,
    ratio: round(quantile(values, 0.99) / 60),
  })
  tell('edit to child, ms', told(edits))
  tell('drift to healed, ms', told(drifts))
} finally {
  watching.abort()
  operator.kill('SIGKILL')
  client.close()
  await proxy.stop()
  await server.stop()
  await rm(folder, { recursive: true, force: true })
}
