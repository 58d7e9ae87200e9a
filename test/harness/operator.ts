import { expect } from 'chai'
import { Registry } from 'prom-client'
import { crd } from '../../lib/pipeline/crd.ts'
import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import * as kinds from '../../operator/kinds.ts'
import { createOperator, type Operator, type OperatorOptions } from '../../operator/operator.ts'
import { createOperatorMetrics } from '../../operator/operator-metrics.ts'
import { createKubeClient, type KubeClient } from '../../operator/runtime/kube-client.ts'
import type { KubeObject, Resource } from '../../operator/runtime/kube-object.ts'
import { statusOf } from '../../operator/runtime/kube-status.ts'
import type { QueueObserver } from '../../operator/runtime/queue.ts'
import type { Cluster } from './apiserver/use-api-server.ts'
import { eventually } from './eventually.ts'

const events: Resource = { apiVersion: 'v1', kind: 'Event', plural: 'events', namespaced: true }
const namespaces: Resource = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false }

export interface OperatorBench {
  /** Straight to the API server: never counted by the proxy. */
  readonly client: KubeClient
  /** A new namespace, with these labels. */
  namespace(labels?: Readonly<Record<string, string>>): Promise<string>
  /** Starts an operator behind the proxy; it is stopped after the test. */
  start(options?: Partial<OperatorOptions>): Promise<Operator>
  stop(operator: Operator): Promise<void>
  /** How many reconciles of the pipeline have ended, over all operators of this `describe`. */
  reconciles(namespace: string, name?: string): number
  /** Creates or replaces the pipeline `payments`, as a person with kubectl would. */
  apply(namespace: string, spec?: object, metadata?: object): Promise<KubeObject>
  /**
   * What a reconcile with nothing to do asks of the API server, once the operator is at rest: an annotation that means
   * nothing brings the pipeline into the queue.
   */
  requestsOfTouch(namespace: string): Promise<string[]>
  /** All children of the kinds given, by default all, as `Kind name`. */
  children(namespace: string): Promise<string[]>
  get(resource: Resource, namespace: string, name: string): Promise<KubeObject>
  status(namespace: string, name?: string): Promise<PipelineStatus>
  condition(namespace: string, type: string, name?: string): Promise<string | undefined>
  /** `type reason message` of each event that was written about pipelines. */
  events(namespace: string): Promise<string[]>
  /** Messages that operators of this `describe` logged, without those of debugging. */
  logged(): readonly string[]
  /** Waits until the operator has said nothing to the API server for a while. */
  quiet(ms?: number): Promise<void>
  /** Does the work of the absent kubelets: says of every workload of the namespace that its pods are ready. */
  settle(namespace: string): Promise<void>
  /** The same where Deployments and StatefulSets have their controllers: says of every pod that it runs and is ready. */
  runPods(namespace: string): Promise<void>
  /** Settles until the pipeline says that it is ready. */
  untilReady(namespace: string): Promise<void>
}

/** What the kubelets would say of a pod that runs. */
const runningPod = (component: string) => ({
  phase: 'Running',
  podIP: '10.1.2.3',
  conditions: ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({ type, status: 'True' })),
  containerStatuses: [
    { name: component, image: '', imageID: '', ready: true, started: true, restartCount: 0, state: { running: {} } },
  ],
})

/** A topic of 12 partitions in which nothing waits: these tests are about Kubernetes. */
export const quietTopic = () => ({
  lag: async () => new Map(Array.from({ length: 12 }, (_, partition) => [partition, 0])),
  topicOffsets: async () => new Map(),
  committedOffsets: async () => new Map(),
  topicId: async () => undefined,
  createMissingTopics: async () => [],
  close() {},
})

export const minimalSpec = { source: { brokers: ['localhost:1'] } }

/** Gives the enclosing `describe` operators to start against an API server that has the CRD. */
export function useOperator(cluster: Cluster): OperatorBench {
  let client: KubeClient
  let count = 0
  const reconciles = new Map<string, number>()
  const started = new Set<Operator>()
  const logged: string[] = []
  const note = (_: unknown, message?: string) => void logged.push(message ?? '')
  const log = { debug() {}, info: note, warn: note, error: note }

  before('install the CRD', async () => {
    client = createKubeClient(cluster.server.kubeConfig, { userAgent: 'test' })
    await client.create(kinds.definitions, crd() as unknown as KubeObject)
    await eventually(() => client.list(kinds.pipelines))
  })
  afterEach('stop operators', async () => {
    await Promise.all([...started].map(stop))
    for (const { metadata } of (await client.list(kinds.pipelines)).items)
      await client.delete(kinds.pipelines, metadata)
  })

  async function stop(operator: Operator): Promise<void> {
    started.delete(operator)
    await operator.stop?.()
  }
  const condition = async (namespace: string, type: string, name?: string) => {
    const found = (await bench.status(namespace, name)).conditions?.find((one) => one.type === type)
    return found === undefined ? undefined : `${found.status} ${found.reason}`
  }

  const bench: OperatorBench = {
    get client() {
      return client
    },
    async namespace(labels = {}) {
      const name = `ns-${++count}`
      await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } })
      return name
    },
    reconciles: (namespace, name = 'payments') => reconciles.get(`${namespace}/${name}`) ?? 0,
    async start(options = {}) {
      const metrics = createOperatorMetrics(new Registry())
      const observer: QueueObserver = {
        finished: (key) => void reconciles.set(key, (reconciles.get(key) ?? 0) + 1),
      }
      const operator = createOperator({
        kubeConfig: cluster.proxy.kubeConfig,
        settings: { workloadImage: 'anomaly:test', redisImage: 'redis:test', logLevel: 'info' },
        leaseNamespace: 'default',
        identity: `operator-${started.size}`,
        concurrency: 8,
        log,
        onDeath: () => {},
        metrics: { ...metrics, observer },
        election: { leaseMs: 3_000, renewDeadlineMs: 2_000, retryMs: 200 },
        watch: { idleTimeoutMs: 5_000, backoff: { baseMs: 20, maxMs: 500 } },
        sampling: { openAdmin: quietTopic, intervalMs: 500 },
        ...options,
      })
      started.add(operator)
      await operator.start?.(new AbortController().signal)
      return operator
    },
    stop,
    async apply(namespace, spec = minimalSpec, metadata = {}) {
      const { apiVersion, kind } = kinds.pipelines
      const object = { apiVersion, kind, metadata: { name: 'payments', namespace, ...metadata }, spec }
      return client.apply(kinds.pipelines, object, { fieldManager: 'person', force: true })
    },
    async requestsOfTouch(namespace) {
      await bench.quiet()
      cluster.proxy.clear()
      const before = bench.reconciles(namespace)
      await bench.apply(namespace, undefined, { annotations: { touched: 'yes' } })
      await eventually(() => expect(bench.reconciles(namespace)).to.be.greaterThan(before))
      await bench.quiet()
      return traffic(cluster)
    },
    async children(namespace) {
      const found: string[] = []
      for (const resource of kinds.childKinds) {
        for (const { metadata } of (await client.list(resource, { namespace })).items) {
          if (metadata.ownerReferences?.[0]?.kind === 'AnomalyPipeline') found.push(`${resource.kind} ${metadata.name}`)
        }
      }
      return found.sort()
    },
    get: (resource, namespace, name) => client.get(resource, { namespace, name }),
    async status(namespace, name = 'payments') {
      return ((await client.get(kinds.pipelines, { namespace, name })).status ?? {}) as PipelineStatus
    },
    condition,
    async events(namespace) {
      const { items } = await client.list(events, { namespace })
      return items
        .filter(({ involvedObject }) => (involvedObject as { kind: string }).kind === kinds.pipelines.kind)
        .map(({ type, reason, message }) => `${type} ${reason} ${message}`)
    },
    logged: () => logged,
    async quiet(ms = 700) {
      // Leases are renewed all the time, and do not count.
      const seen = () =>
        cluster.proxy.requests.filter(({ path, verb }) => verb !== 'watch' && !path.includes('/leases'))
      let before = -1
      while (before !== seen().length) {
        before = seen().length
        await new Promise((resolve) => setTimeout(resolve, ms))
      }
    },
    async settle(namespace) {
      for (const resource of [kinds.deployments, kinds.statefulSets]) {
        for (const { metadata, spec } of (await client.list(resource, { namespace })).items) {
          const { replicas } = spec as { replicas: number }
          const counts = { replicas, readyReplicas: replicas, updatedReplicas: replicas, availableReplicas: replicas }
          const status = { observedGeneration: metadata.generation, ...counts }
          try {
            await client.patch(resource, metadata, { status }, { subresource: 'status' })
          } catch (error) {
            if (statusOf(error)?.code !== 404) throw error
          }
        }
      }
    },
    async runPods(namespace) {
      for (const { metadata, status } of (await client.list(kinds.pods, { namespace })).items) {
        if ((status as { phase?: string } | undefined)?.phase === 'Running') continue
        const running = runningPod(metadata.labels?.['app.kubernetes.io/component'] ?? '')
        try {
          await client.patch(kinds.pods, metadata, { status: running }, { subresource: 'status' })
        } catch (error) {
          if (statusOf(error)?.code !== 404) throw error
        }
      }
    },
    untilReady: (namespace) =>
      eventually(async () => {
        await bench.settle(namespace)
        expect(await condition(namespace, 'Ready')).to.equal('True AllReady')
      }),
  }
  return bench
}

/** Requests that read or write objects: neither watches nor what leader election does. */
export const traffic = (cluster: Cluster): string[] =>
  cluster.proxy.requests
    .filter(({ path, verb }) => verb !== 'watch' && !path.includes('/leases'))
    .map(({ verb, path }) => `${verb} ${path}`)
