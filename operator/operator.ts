import type { KubeConfig } from '@kubernetes/client-node'
import { messageOf } from '../lib/errors.ts'
import type { Part } from '../lib/lifecycle.ts'
import type { Logger } from '../lib/log.ts'
import { systemClock } from '../lib/time.ts'
import { version } from '../lib/version.ts'
import { createCrdCheck } from './crd-check.ts'
import { manager } from './desired/child.ts'
import type { Settings } from './desired/desired.ts'
import { rivalOf, sharingGroup } from './group-rival.ts'
import {
  autoscalers,
  configMaps,
  cronJobs,
  deployments,
  jobs,
  pipelines,
  secrets,
  services,
  statefulSets,
} from './kinds.ts'
import { createObserver, fileOf, namedBy } from './observer.ts'
import type { OperatorMetrics } from './operator-metrics.ts'
import { createReconciler } from './reconcile.ts'
import { presentOf } from './redis/redis-move.ts'
import { createApplier } from './runtime/apply.ts'
import type { Change } from './runtime/cache.ts'
import { type Controller, createController, ownerKey, ownKey } from './runtime/controller.ts'
import { createEventRecorder, type EventRecorder } from './runtime/events.ts'
import { createKubeClient, type KubeClient } from './runtime/kube-client.ts'
import { type KubeObject, keyOf, type OwnerReference } from './runtime/kube-object.ts'
import { type Election, type ElectionOptions, startElection } from './runtime/leader-election.ts'
import { createNamedObjects, type NamedObjects } from './runtime/named-objects.ts'
import { createSamplers, type Samplers, type Sampling } from './samplers.ts'
import { labelOf, startWatches, type Watches } from './watches.ts'

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
  /** Called when it cannot go on: nothing but a new process would help. */
  readonly onDeath: (error: unknown) => void
  /** Shorter ones for tests. */
  readonly patienceMs?: number | undefined
  readonly election?: Pick<ElectionOptions, 'leaseMs' | 'renewDeadlineMs' | 'retryMs'> | undefined
  readonly watch?: { readonly idleTimeoutMs: number; readonly backoff: { baseMs: number; maxMs: number } } | undefined
  readonly sampling?: Sampling | undefined
}

export interface Operator extends Part {
  /** What a restart would heal, for liveness. */
  deathProblem(): string | undefined
  /** What the caches lack, for readiness. */
  cacheProblem(): string | undefined
  crdProblem(): string | undefined
  status(): unknown
}

/** Watches, leads and reconciles: the runtime's parts put together for pipelines. */
export function createOperator(options: OperatorOptions): Operator {
  const { log } = options
  const client = createKubeClient(options.kubeConfig, { userAgent: `${manager}/${version}` })
  const stopping = new AbortController()
  const crd = createCrdCheck(client, { log, signal: stopping.signal })
  let watches: Watches | undefined
  let named: NamedObjects | undefined
  let namedMaps: NamedObjects | undefined
  let samplers: Samplers | undefined
  let election: Election | undefined
  let death: string | undefined
  let work: Promise<void> = Promise.resolve()

  async function operate(): Promise<void> {
    // Whatever is heard before the controller runs is in the caches when it does.
    const enqueue = (keys: readonly string[]): void => {
      for (const key of keys) control.controller.enqueue(key)
    }
    const enqueueAll = (): void => enqueue([...(watches?.pipelines.values() ?? [])].map(keyOf))
    const common = { client, log, ...options.watch }
    watches = startWatches({ ...common, namespaces: options.namespaces, onMonitorsServed: enqueueAll })
    named = createNamedObjects({ ...common, resource: secrets, changed: enqueue })
    namedMaps = createNamedObjects({ ...common, resource: configMaps, changed: enqueue })
    samplers = createSamplers({
      ...{ log, watches, named, sampling: options.sampling },
      changed: (key) => enqueue([key]),
      mayWrite: () => election?.isLeader() === true,
    })
    const control = createControl(options, {
      ...{ client, watches, named, namedMaps, samplers },
      mayWrite: () => election?.isLeader() === true,
      crdProblem: crd.problem,
    })
    await Promise.all([watches.synced, crd.look()])
    // It may have been installed only while the first lists were waited for.
    if (crd.problem() !== undefined) await crd.look()
    log.info({ pipelines: watches.pipelines.size }, 'caches are filled')
    election = startElection({
      client,
      namespace: options.leaseNamespace,
      name: manager,
      identity: options.identity,
      owner: options.leaseOwner,
      log,
      signal: stopping.signal,
      ...options.election,
      lead: (term) => lead(control.controller, term),
    })
    const settling = crd.problem() === undefined ? undefined : crd.settled().then(enqueueAll)
    await election.ended
    await settling
    await control.recorder.flush()
  }

  async function lead(controller: Controller, term: AbortSignal): Promise<void> {
    options.metrics.setLeader(true)
    try {
      await controller.run(term)
    } finally {
      options.metrics.setLeader(false)
      // Who does not lead asks nobody.
      samplers?.stop()
    }
  }

  return {
    name: 'operator',
    start() {
      // Nothing of the start waits for the API server: the process is live, and not ready, until it answers.
      work = operate()
      work.catch((error: unknown) => {
        if (stopping.signal.aborted) return
        death = `the operator ended: ${messageOf(error)}`
        options.onDeath(error)
      })
    },
    async stop() {
      stopping.abort()
      // Those whose first list never came reject what waits for it.
      await Promise.all([watches?.stop(), work.catch(() => {})])
      samplers?.stop()
      await named?.stop()
      await namedMaps?.stop()
      client.close()
    },
    deathProblem: () => death,
    cacheProblem: () => (watches === undefined ? 'not started yet' : watches.problem()),
    crdProblem: crd.problem,
    status: () => ({ leader: election?.leader(), leads: election?.isLeader() === true, crd: crd.problem() ?? 'ok' }),
  }
}

interface World {
  readonly client: KubeClient
  readonly watches: Watches
  readonly named: NamedObjects
  readonly namedMaps: NamedObjects
  readonly samplers: Samplers
  readonly mayWrite: () => boolean
  readonly crdProblem: () => string | undefined
}

/** The controller of pipelines, and who records its events. */
function createControl(
  { settings, identity, concurrency, log, metrics, patienceMs }: OperatorOptions,
  { client, watches, named, namedMaps, samplers, mayWrite, crdProblem }: World,
): { readonly controller: Controller; readonly recorder: EventRecorder } {
  const recorder = createEventRecorder({ client, component: manager, instance: identity, log })
  const applier = createApplier({
    client,
    fieldManager: manager,
    hashAnnotation: 'anomaly.com/intent',
    kinds: [...watches.children, { resource: pipelines, cache: watches.pipelines }],
    mayWrite,
  })
  const observe = createObserver({
    client,
    caches: {
      deployments: watches.cacheOf(deployments),
      statefulSets: watches.cacheOf(statefulSets),
      autoscalers: watches.cacheOf(autoscalers),
      secrets: watches.cacheOf(secrets),
      services: watches.cacheOf(services),
      cronJobs: watches.cacheOf(cronJobs),
      jobs: watches.cacheOf(jobs),
      configMaps: watches.cacheOf(configMaps),
      pods: watches.pods,
      claims: watches.claims,
    },
    named: (key, kind) => (kind === 'ConfigMap' ? namedMaps : named).get(key),
    isUnreadable: (key, kind) => (kind === 'ConfigMap' ? namedMaps : named).failure(key) !== undefined,
    servesMonitors: watches.servesMonitors,
    rival: (document) => rivalOf(document, watches.pipelines),
    sampled: samplers.read,
  })
  const reconcile = createReconciler({
    ...{ client, applier, observe, recorder, settings, mayWrite, crdProblem, log, patienceMs },
    pipelines: watches.pipelines,
    watch(key, pipeline) {
      const document = watches.pipelines.get(key)
      const file = document && fileOf(document, watches.cacheOf(configMaps))
      const present = pipeline && presentOf(pipeline, file)
      const names = [...new Set([pipeline, present].flatMap((one) => namedBy(one, undefined)))]
      named.use(key, names)
      namedMaps.use(key, namedBy(pipeline, 'ConfigMap'))
      const isUnread = names.some((name) => named.get(name) === undefined && named.failure(name) === undefined)
      if (!isUnread) samplers.follow(key, pipeline, present)
    },
    wall: () => systemClock.wall(),
  })
  const controller = createController({
    sources: [
      // Its status is put right as well where another changed it.
      {
        cache: watches.pipelines,
        keys: (change) => (applier.wrote(change.object) ? ownKey(change) : [keyOf(change.object)]),
      },
      {
        cache: watches.pipelines,
        keys: ({ type, object }) => (type === 'updated' ? [] : sharingGroup(object, watches.pipelines)),
      },
      ...watches.children.map(({ cache }) => ({ cache, keys: ownerKey(pipelines) })),
      { cache: watches.pods, keys: pipelineOfPod },
      { cache: watches.claims, keys: pipelineOfPod },
    ],
    reconcile,
    log,
    concurrency,
    observer: metrics.observer,
    retryLimit: { burst: 100, perSecond: 50 },
  })
  metrics.readPipelines(() => watches.pipelines.values())
  metrics.readQueueDepth(() => controller.queue()?.depth ?? 0)
  return { controller, recorder }
}

const pipelineOfPod = ({ object }: Change): readonly string[] => [pipelineKeyOf(object)]

const pipelineKeyOf = (pod: KubeObject): string => `${pod.metadata.namespace}/${labelOf(pod, 'instance')}`
