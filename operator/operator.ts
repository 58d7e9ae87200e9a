import type { KubeConfig } from '@kubernetes/client-node'
import { messageOf } from '../lib/errors.ts'
import type { Part } from '../lib/lifecycle.ts'
import type { Logger } from '../lib/log.ts'
import { sleep, systemClock } from '../lib/time.ts'
import { version } from '../lib/version.ts'
import { managedSelector, manager } from './desired/child.ts'
import type { Settings } from './desired/desired.ts'
import { childKinds, pipelines, pods, secrets, serviceMonitors } from './kinds.ts'
import { createLagSampler, type LagSampler, type LagSamplerOptions } from './lag/lag-sampler.ts'
import { createObserver } from './observer.ts'
import type { OperatorMetrics } from './operator-metrics.ts'
import { followOptionalKind } from './optional-kind.ts'
import { createReportReader, type ReportReader } from './pod-reports.ts'
import { createReconciler } from './reconcile.ts'
import { createApplier } from './runtime/apply.ts'
import { type Cache, type Change, createCache } from './runtime/cache.ts'
import { createController, ownerKey, ownKey } from './runtime/controller.ts'
import { createEventRecorder } from './runtime/events.ts'
import { startInformer } from './runtime/informer.ts'
import { createKubeClient } from './runtime/kube-client.ts'
import type { KubeObject, OwnerReference, Resource } from './runtime/kube-object.ts'
import { type Election, type ElectionOptions, startElection } from './runtime/leader-election.ts'
import { createNamedObjects, type NamedObjects } from './runtime/named-objects.ts'
import { keepOwnedFields } from './runtime/owned-fields.ts'
import type { Reflector } from './runtime/reflector.ts'
import { crdProblem } from './served-crd.ts'

export interface OperatorOptions {
  readonly kubeConfig: KubeConfig
  readonly settings: Settings
  readonly namespaces?: readonly string[] | undefined
  readonly leaseNamespace: string
  /** With which the Lease goes. */
  readonly leaseOwner?: OwnerReference | undefined
  readonly identity: string
  readonly concurrency: number
  readonly log: Logger
  readonly metrics: OperatorMetrics
  /** Shorter ones for tests. */
  readonly election?: Pick<ElectionOptions, 'leaseMs' | 'renewDeadlineMs' | 'retryMs'> | undefined
  readonly watch?: { readonly idleTimeoutMs: number; readonly backoff: { baseMs: number; maxMs: number } } | undefined
  readonly sampling?: Pick<LagSamplerOptions, 'openAdmin' | 'intervalMs' | 'tellMs'> | undefined
}

export interface Operator extends Part {
  /** What the caches lack, for readiness. */
  cacheProblem(): string | undefined
  crdProblem(): string | undefined
  status(): unknown
}

const crdRetryMs = 10_000
const watchesReadyMs = 60_000

/** Watches, leads and reconciles: the runtime's parts put together for pipelines. */
export function createOperator(options: OperatorOptions): Operator {
  const { kubeConfig, settings, namespaces, leaseNamespace, identity, concurrency, log, metrics, watch } = options
  const client = createKubeClient(kubeConfig, { userAgent: `${manager}/${version}` })
  const keep = keepOwnedFields(manager)
  const stopping = new AbortController()
  const reflectors: Reflector[] = []
  let namedSecrets: NamedObjects | undefined
  let sampler: LagSampler | undefined
  let reader: ReportReader | undefined
  let election: Election | undefined
  let lacking: string | undefined = 'the CRD was not looked at yet'
  let work: Promise<void> = Promise.resolve()

  function follow(resource: Resource, cache: Cache, selection: { labelSelector?: string; keep?: typeof keep }): Cache {
    const watched = { client, resource, cache, log, namespaces, ...selection, ...watch }
    const reflector = startInformer(watched)
    reflectors.push(reflector)
    return cache
  }

  /** Looks at the CRD; asks until the API server says how it is. */
  async function lookAtCrd(): Promise<void> {
    const before = lacking
    while (!stopping.signal.aborted) {
      try {
        lacking = await crdProblem(client, stopping.signal)
        break
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'cannot read the CRD; trying again')
        await sleep(crdRetryMs / 10, { signal: stopping.signal })
      }
    }
    if (lacking !== undefined && lacking !== before) log.error({ problem: lacking }, 'cannot work with this CRD')
  }

  /** Goes on looking while something lacks. */
  async function awaitCrd(onChange: () => void): Promise<void> {
    while (!stopping.signal.aborted && lacking !== undefined) {
      await sleep(crdRetryMs, { signal: stopping.signal })
      await lookAtCrd()
    }
    onChange()
  }

  async function operate(): Promise<void> {
    const pipelineCache = follow(pipelines, createCache(), { keep })
    const ours = { keep, labelSelector: managedSelector }
    const monitorCache = createCache()
    const kinds = [
      ...childKinds.map((resource) => ({ resource, cache: follow(resource, createCache(), ours) })),
      { resource: serviceMonitors, cache: monitorCache },
    ]
    const podCache = follow(pods, createCache({ component: componentOf }), {
      keep: withoutSpec,
      labelSelector: managedSelector,
    })
    const cacheOf = (plural: string): Cache => kinds.find(({ resource }) => resource.plural === plural)!.cache
    const mayWrite = (): boolean => election?.isLeader() === true
    const applier = createApplier({
      client,
      fieldManager: manager,
      hashAnnotation: 'anomaly.com/intent',
      kinds: [...kinds, { resource: pipelines, cache: pipelineCache }],
      mayWrite,
    })
    const recorder = createEventRecorder({ client, component: manager, instance: identity, log })
    const enqueue = (keys: readonly string[]): void => {
      for (const key of keys) controller.enqueue(key)
    }
    const enqueueAll = (): void => enqueue([...pipelineCache.values()].map(ownKeyOf))
    const monitors = followOptionalKind({
      ...{ client, resource: serviceMonitors, cache: monitorCache, log, namespaces, ...ours, ...watch },
      onServed: enqueueAll,
    })
    reflectors.push(monitors)
    namedSecrets = createNamedObjects({ client, resource: secrets, log, changed: enqueue, ...watch })
    const cachedDeployments = cacheOf('deployments')
    sampler = createLagSampler({
      log,
      clock: systemClock,
      random: Math.random,
      changed: (key) => enqueue([key]),
      readyConsumers: (key) => readyReplicas(cachedDeployments.get(`${key}-consumer`)),
      secret: (key) => namedSecrets?.get(key),
      ...options.sampling,
    })
    reader = createReportReader({
      log,
      clock: systemClock,
      random: Math.random,
      changed: (key) => enqueue([key]),
      podsOf: (key, component) => podCache.indexed('component', `${key}/${component}`),
    })
    const observer = createObserver({
      client,
      applier,
      caches: {
        deployments: cachedDeployments,
        statefulSets: cacheOf('statefulsets'),
        autoscalers: cacheOf('horizontalpodautoscalers'),
        secrets: cacheOf('secrets'),
        pods: podCache,
      },
      namedSecrets,
      servesMonitors: monitors.isServed,
      sampled: (key) => ({ ...sampler?.read(key), reports: reader?.read(key) }),
    })
    const reconcile = createReconciler({
      pipelines: pipelineCache,
      client,
      applier,
      observer,
      recorder,
      settings,
      mayWrite,
      crdProblem: () => lacking,
      follow(key, pipeline) {
        sampler?.follow(key, pipeline)
        reader?.follow(key, pipeline !== undefined)
      },
      wall: () => systemClock.wall(),
    })
    const controller = createController({
      sources: [
        // Its status is put right as well where another changed it.
        {
          cache: pipelineCache,
          keys: (change) => (applier.wrote(change.object) ? ownKey(change) : [ownKeyOf(change.object)]),
        },
        ...kinds.map(({ cache }) => ({ cache, keys: ownerKey(pipelines) })),
        { cache: podCache, keys: pipelineOfPod },
      ],
      reconcile,
      log,
      concurrency,
      observer: metrics.observer,
      retryLimit: { burst: 100, perSecond: 50 },
    })
    metrics.readQueueDepth(() => controller.queue()?.depth ?? 0)
    await Promise.all([...reflectors.map(({ synced }) => synced), lookAtCrd()])
    // It may have been installed only while the first lists were waited for.
    if (lacking !== undefined) await lookAtCrd()
    log.info({ pipelines: pipelineCache.size }, 'caches are filled')
    election = startElection({
      client,
      namespace: leaseNamespace,
      name: manager,
      identity,
      owner: options.leaseOwner,
      log,
      signal: stopping.signal,
      ...options.election,
      async lead(signal) {
        metrics.setLeader(true)
        try {
          await controller.run(signal)
        } finally {
          metrics.setLeader(false)
          // Who does not lead asks nobody.
          sampler?.stop()
          reader?.stop()
        }
      },
    })
    const checking = lacking === undefined ? undefined : awaitCrd(enqueueAll)
    await election.ended
    await checking
    await recorder.flush()
  }

  return {
    name: 'operator',
    start() {
      // Nothing of the start waits for the API server: the process is live, and not ready, until it answers.
      work = operate()
      work.catch((error: unknown) => {
        if (!stopping.signal.aborted) log.error({ error }, 'the operator ended')
      })
    },
    async stop() {
      stopping.abort()
      // Those whose first list never came reject what waits for it.
      const ended = Promise.all([...reflectors.map((reflector) => reflector.stop()), work.catch(() => {})])
      await ended
      sampler?.stop()
      reader?.stop()
      await namedSecrets?.stop()
      client.close()
    },
    cacheProblem() {
      if (reflectors.length === 0 || !reflectors.every((reflector) => reflector.hasSynced()))
        return 'the first lists have not come yet'
      const staleMs = Math.max(...reflectors.map((reflector) => reflector.staleMs()))
      return staleMs > watchesReadyMs ? `a watch has been down for ${Math.round(staleMs / 1000)} s` : undefined
    },
    crdProblem: () => lacking,
    status: () => ({ leader: election?.leader(), leads: election?.isLeader() === true, crd: lacking ?? 'ok' }),
  }
}

const label = ({ metadata }: KubeObject, name: string): string | undefined =>
  metadata.labels?.[`app.kubernetes.io/${name}`]

const readyReplicas = (deployment: KubeObject | undefined): number =>
  (deployment?.status as { readyReplicas?: number } | undefined)?.readyReplicas ?? 0

const ownKeyOf = ({ metadata }: KubeObject): string => `${metadata.namespace}/${metadata.name}`

const componentOf = (pod: KubeObject): readonly string[] => [
  `${pod.metadata.namespace}/${label(pod, 'instance')}/${label(pod, 'component')}`,
]

const pipelineOfPod = ({ object }: Change): readonly string[] => [
  `${object.metadata.namespace}/${label(object, 'instance')}`,
]

/** Of a pod only its name, labels and status are read. */
function withoutSpec({ apiVersion, kind, metadata, status }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, labels, deletionTimestamp } = metadata
  const kept = { name, namespace, uid, resourceVersion, labels, deletionTimestamp }
  return { apiVersion, kind, metadata: JSON.parse(JSON.stringify(kept)) as KubeObject['metadata'], status }
}
