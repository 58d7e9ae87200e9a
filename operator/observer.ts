import { resolveRedis } from '../lib/pipeline/resolve-pipeline.ts'
import { type Pipeline, type Role, roles } from '../lib/pipeline/spec.ts'
import type { PipelineStatus } from '../lib/pipeline/status.ts'
import {
  type Component,
  childName,
  components,
  hashOf,
  type Parent,
  restartAnnotation,
  secretsAnnotation,
} from './desired/child.ts'
import type { Observed } from './desired/desired.ts'
import { planReplicas } from './desired/replicas.ts'
import { redisSecret, signingSecret } from './desired/secrets.ts'
import { type GeneratedSecret, generatedSecret } from './generated-secret.ts'
import { consumerBounds, type LagDemand } from './lag/consumer-bounds.ts'
import { findSecrets, type SecretsFound, secretsOf } from './named-secrets.ts'
import { refusalOf } from './refused-pod.ts'
import type { Applier } from './runtime/apply.ts'
import type { Cache } from './runtime/cache.ts'
import type { KubeClient } from './runtime/kube-client.ts'
import type { KubeObject } from './runtime/kube-object.ts'
import type { NamedObjects } from './runtime/named-objects.ts'
import type { Outcome } from './runtime/queue.ts'
import { lacksPods, type PodReports, type SourceSample, type StatusInput } from './status.ts'
import { templateOf, type Workloads } from './tell.ts'

/** What is seen of a pipeline beside the API server, each in its own time; see lag/ and pod-reports.ts. */
export interface Sampled extends LagDemand {
  readonly source?: SourceSample | undefined
  readonly reports?: PodReports | undefined
}

export interface ObserverOptions {
  readonly client: KubeClient
  readonly applier: Applier
  readonly caches: {
    readonly deployments: Cache
    readonly statefulSets: Cache
    readonly autoscalers: Cache
    readonly secrets: Cache
    /** With an index `component`: `namespace/pipeline/component`. */
    readonly pods: Cache
  }
  readonly namedSecrets: NamedObjects
  readonly servesMonitors: () => boolean
  /** Never waits. */
  readonly sampled: (key: string) => Sampled
}

type Found = Readonly<Record<Role, SecretsFound>>

/** What of the world the children and the status of a pipeline depend on. */
export interface Observer {
  /** What the Secrets that the pipeline names hold; undefined while one that was named just now has not been looked at. */
  secrets(key: string, pipeline: Pipeline): Found | undefined
  /** What `desired` depends on. Values that nobody chose are made here, and stored before anything is made with them. */
  ofChildren(key: string, parent: Parent, document: KubeObject, found: Found, signal: AbortSignal): Promise<Observed>
  workloads(document: KubeObject): Workloads
  /** What the status depends on, but for how the pass went. Where its cause is in no cache, it is to be looked at again. */
  ofStatus(
    key: string,
    document: KubeObject,
    pipeline: Pipeline | undefined,
    signal: AbortSignal,
  ): Promise<
    Pick<StatusInput, 'workloads' | 'pods' | 'refusal' | 'autoscalers' | 'source' | 'recommended' | 'reports'> & Outcome
  >
  forget(key: string): void
}

const signingKeyOf: GeneratedSecret = { suffix: 'signing', entry: 'key', manifest: signingSecret }
const redisPasswordOf: GeneratedSecret = { suffix: 'redis', entry: 'password', manifest: redisSecret }

/** When to look again at what refuses a pod: nothing else tells that it changed. */
const refusedMs = 30_000

/** Looks into caches and samples; asks the API server only for what no cache holds. */
export function createObserver({ client, applier, caches, namedSecrets, ...options }: ObserverOptions): Observer {
  function workloads({ metadata: { name, namespace } }: KubeObject): Workloads {
    const found = components.flatMap((component) => {
      const cache = component === 'redis' ? caches.statefulSets : caches.deployments
      const workload = cache.get(`${namespace}/${name}-${component}`)
      return workload === undefined ? [] : [[component, workload] as const]
    })
    return Object.fromEntries(found)
  }

  /** What the lag asks for; after a restart what it asked for before, until it has been looked at again. */
  function demandOf(key: string, { status }: KubeObject): LagDemand {
    const { source, scaling } = (status ?? {}) as PipelineStatus
    const { partitions = source?.partitions, floor = scaling?.minReplicas } = options.sampled(key)
    return { partitions, floor }
  }

  return {
    secrets(key, pipeline) {
      const keyOf = (name: string) => `${pipeline.metadata.namespace}/${name}`
      const uses = byRole((role) => secretsOf(pipeline, role))
      const named = roles.flatMap((role) => uses[role].map(({ name }) => keyOf(name)))
      namedSecrets.use(key, named)
      const isUnread = (name: string) =>
        namedSecrets.get(name) === undefined && namedSecrets.failure(name) === undefined
      if (named.some(isUnread)) return undefined
      return byRole((role) => findSecrets(uses[role], (name) => namedSecrets.get(keyOf(name))))
    },

    async ofChildren(key, parent, document, found, signal) {
      const { spec, metadata } = parent.pipeline
      const generated = { client, applier, secrets: caches.secrets, signal }
      const hasRedis = resolveRedis(parent.pipeline).type === 'managed'
      const signingKey = await generatedSecret(parent, signingKeyOf, generated)
      const redisPassword = hasRedis ? await generatedSecret(parent, redisPasswordOf, generated) : ''
      const live = workloads(document)
      const bounds = consumerBounds(parent.pipeline, demandOf(key, document))?.applied
      return {
        signingKey,
        redisPassword,
        secretHashes: byRole((role) =>
          found[role].problem === undefined
            ? hashOf([found[role].hash, redisPassword, signingKey])
            : // What runs goes on with what it was started with.
              templateOf(live[role]).metadata?.annotations?.[secretsAnnotation],
        ),
        replicas: byRole((role) => {
          const autoscaler = caches.autoscalers.get(`${metadata.namespace}/${childName(parent, role)}`)
          const autoscalerExists = autoscaler !== undefined
          const plan = { spec, role, live: live[role], autoscalerExists }
          return planReplicas({ ...plan, bounds: role === 'consumer' ? bounds : undefined })
        }),
        consumerBounds: bounds,
        servesMonitors: options.servesMonitors(),
        restartAt: document.metadata.annotations?.[restartAnnotation],
      }
    },

    workloads,

    async ofStatus(key, document, pipeline, signal) {
      const { name, namespace, uid = '' } = document.metadata
      const { source, reports } = options.sampled(key)
      const demand = demandOf(key, document)
      const podsOf = (component: Component) => caches.pods.indexed('component', `${namespace}/${name}/${component}`)
      const live = workloads(document)
      const isRefused = live.redis !== undefined && lacksPods(live.redis, podsOf('redis'))
      const isAsked = pipeline !== undefined && demand.floor !== undefined
      return {
        workloads: live,
        // Without an answer the status says where to look.
        refusal: isRefused ? await refusalOf(client, live.redis, signal).catch(() => undefined) : undefined,
        againAfterMs: isRefused ? refusedMs : undefined,
        pods: Object.fromEntries(components.map((component) => [component, podsOf(component)])),
        autoscalers: caches.autoscalers.ownedBy(uid),
        source,
        recommended: isAsked ? consumerBounds(pipeline, demand)?.recommended : undefined,
        reports,
      }
    },

    forget: (key) => namedSecrets.use(key, []),
  }
}

const byRole = <T>(of: (role: Role) => T): Readonly<Record<Role, T>> => ({
  consumer: of('consumer'),
  inference: of('inference'),
  api: of('api'),
})
