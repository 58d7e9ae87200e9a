import type { ParsedPipeline } from '../lib/pipeline/parse-pipeline.ts'
import { type Pipeline, type Role, roles } from '../lib/pipeline/spec.ts'
import type { PipelineStatus } from '../lib/pipeline/status.ts'
import { annotationIssues, annotationWarnings } from './annotations.ts'
import { components } from './desired/child.ts'
import { redisRecordOf } from './desired/redis.ts'
import { readGeneratedSecret, redisPassword, signingKey } from './generated-secret.ts'
import type { LagDemand } from './lag/consumer-bounds.ts'
import type { SourceSample } from './lag/lag-sampler.ts'
import { findSecrets, type SecretsFound, type SecretUse, secretsOf } from './named-secrets.ts'
import type { PodReports } from './pods/pod-reports.ts'
import { claimProblemOf, refusalOf } from './pods/refused-pod.ts'
import { isUnschedulable, type Waiting } from './pods/waiting-pod.ts'
import { managedOf, presentOf } from './redis/redis-move.ts'
import type { RedisRecord } from './redis/redis-pair.ts'
import type { Cache } from './runtime/cache.ts'
import type { KubeClient } from './runtime/kube-client.ts'
import { controllerOf, type KubeObject, keyOf } from './runtime/kube-object.ts'
import type { Sampled } from './samplers.ts'
import { lacksPods, type Pods, type Workloads } from './status/component-state.ts'
import { unseenFields } from './unseen-fields.ts'

/** All that a reconcile knows of the world: read once, at its begin. */
export interface Scope {
  /** `namespace/name` of the pipeline. */
  readonly key: string
  /** The pipeline as the API server has it. */
  readonly document: KubeObject
  /** The same, valid, with the Redis that it has at present; absent if it is not. */
  readonly pipeline?: Pipeline | undefined
  /** A line for each thing that is wrong with it: while there is one, nothing is changed. */
  readonly issues: readonly string[]
  /** A line for each thing in it that is allowed, and hardly meant. */
  readonly warnings: readonly string[]
  /** What the Secrets that it names hold; undefined while one that was named just now has not been looked at. */
  readonly secrets?: Readonly<Record<Role, SecretsFound>> | undefined
  /** Present while the document names another Redis than the one that holds what was learnt. */
  readonly move?: ScopeOfMove | undefined
  /** Values that nobody chose, as their Secrets keep them; undefined where there is none yet. */
  readonly generated: { readonly signingKey?: string | undefined; readonly redisPassword?: string | undefined }
  /** Why something of it could not be read: nothing is made without it. */
  readonly failure?: unknown
  readonly workloads: Workloads
  readonly pods: Pods
  readonly autoscalers: readonly KubeObject[]
  /** Volumes of Redis. */
  readonly claims: readonly KubeObject[]
  /** Why the StatefulSet has no pod, or its pod no volume, as far as their events say. */
  readonly refusal?: Waiting | undefined
  /** What the lag asks for; after a restart what it asked for before, until it has been looked at again. */
  readonly demand: LagDemand
  readonly source?: SourceSample | undefined
  readonly reports?: PodReports | undefined
  /** The CronJob that backs Redis up. */
  readonly backupJob?: KubeObject | undefined
  /** Which pod of a managed Redis leads, as far as there are two. */
  readonly redisRecord?: RedisRecord | undefined
  readonly servesMonitors: boolean
  /** `namespace/name` of the pipeline whose events this one would take. */
  readonly rival?: string | undefined
}

export interface ScopeOfMove {
  /** As the document has it. */
  readonly wanted: Pipeline
  readonly secrets: Readonly<Record<Role, SecretsFound>>
  /** The Jobs that copy, and their pods. */
  readonly jobs: readonly KubeObject[]
  readonly pods: readonly KubeObject[]
}

export interface ObserverOptions {
  readonly client: KubeClient
  readonly caches: {
    readonly deployments: Cache
    readonly statefulSets: Cache
    readonly autoscalers: Cache
    readonly secrets: Cache
    readonly services: Cache
    /** The same, of the volumes of Redis. */
    readonly claims: Cache
    readonly cronJobs: Cache
    readonly jobs: Cache
    readonly configMaps: Cache
    /** With an index `component`: `namespace/pipeline/component`. */
    readonly pods: Cache
  }
  /** A Secret or ConfigMap that a pipeline names: null if there is none, undefined while that is not known. */
  readonly named: (key: string, kind: SecretUse['kind']) => KubeObject | null | undefined
  /** Whether it cannot be known, since the API server refuses it or does not answer. */
  readonly isUnreadable: (key: string, kind: SecretUse['kind']) => boolean
  readonly servesMonitors: () => boolean
  /** The pipeline whose events this one would take. */
  readonly rival: (document: KubeObject) => string | undefined
  /** What was seen last of the topic and of what pods say, each in its own time. */
  readonly sampled: (key: string) => Sampled
}

export type Observe = (document: KubeObject, parsed: ParsedPipeline, signal: AbortSignal) => Promise<Scope>

/** Reads caches and samples; asks the API server only for what no cache holds. Writes nothing. */
export function createObserver({ client, caches, named, isUnreadable, ...options }: ObserverOptions): Observe {
  function workloadsOf({ metadata: { name, namespace } }: KubeObject): Workloads {
    const found = components.flatMap((component) => {
      const cache = component === 'redis' ? caches.statefulSets : caches.deployments
      const workload = cache.get(`${namespace}/${name}-${component}`)
      return workload === undefined ? [] : [[component, workload] as const]
    })
    return Object.fromEntries(found)
  }

  function podsOf({ metadata: { name, namespace } }: KubeObject): Pods {
    const of = (component: string) => caches.pods.indexed('component', `${namespace}/${name}/${component}`)
    return Object.fromEntries(components.map((component) => [component, of(component)]))
  }

  function secretsFound(pipeline: Pipeline): Scope['secrets'] {
    const keyOfName = (name: string) => `${pipeline.metadata.namespace}/${name}`
    const uses = byRole((role) => secretsOf(pipeline, role))
    const isUnknown = ({ name, kind }: SecretUse) => {
      const key = keyOfName(name)
      return named(key, kind) === undefined && !isUnreadable(key, kind)
    }
    if (roles.some((role) => uses[role].some(isUnknown))) return undefined
    return byRole((role) => findSecrets(uses[role], (name, kind) => named(keyOfName(name), kind)))
  }

  async function generatedOf(
    pipeline: Pipeline,
    hasRedis: boolean,
    signal: AbortSignal,
  ): Promise<Pick<Scope, 'generated' | 'failure'>> {
    const read = { client, secrets: caches.secrets, signal }
    try {
      const generated = {
        signingKey: await readGeneratedSecret(pipeline, signingKey, read),
        redisPassword: hasRedis ? await readGeneratedSecret(pipeline, redisPassword, read) : undefined,
      }
      return { generated }
    } catch (failure) {
      return { generated: {}, failure }
    }
  }

  /** What is known of a valid pipeline, by its document and by the Redis that it has at present. */
  async function knownOf(
    document: KubeObject,
    wanted: Pipeline,
    signal: AbortSignal,
  ): Promise<Pick<Scope, 'pipeline' | 'secrets' | 'move' | 'generated' | 'failure'>> {
    const pipeline = presentOf(wanted, fileOf(document, caches.configMaps))
    const [secrets, ofWanted] = [pipeline, wanted].map(secretsFound)
    const isMoving = pipeline !== wanted && ofWanted !== undefined
    const jobs = caches.jobs.ownedBy(document.metadata.uid ?? '')
    const copyPods = caches.pods.indexed('component', `${keyOf(document)}/redis-copy`)
    return {
      pipeline,
      secrets: ofWanted && secrets,
      ...(isMoving ? { move: { wanted, secrets: ofWanted, jobs, pods: copyPods } } : {}),
      ...(await generatedOf(pipeline, managedOf(pipeline, wanted) !== undefined, signal)),
    }
  }

  return async (document, { pipeline: wanted, issues = [] }, signal) => {
    const key = keyOf(document)
    const known = wanted === undefined ? { generated: {} } : await knownOf(document, wanted, signal)
    const { partitions, floor, source, reports, redisRecord } = options.sampled(key)
    const former = (document.status ?? {}) as PipelineStatus
    const workloads = workloadsOf(document)
    const pods = podsOf(document)
    // Without an answer the status says where to look.
    const refusalWhere = async (): Promise<Waiting | undefined> => {
      const { redis } = workloads
      if (redis === undefined) return undefined
      if (lacksPods(redis, pods.redis ?? [])) return refusalOf(client, redis, signal).catch(() => undefined)
      return (pods.redis ?? []).some(isUnschedulable)
        ? claimProblemOf(client, redis, signal).catch(() => undefined)
        : undefined
    }
    const refusal = await refusalWhere()
    return {
      key,
      document,
      ...known,
      issues: [...issues.map(({ line }) => line), ...annotationIssues(document)],
      warnings: [
        ...annotationWarnings(document),
        ...(wanted === undefined ? [] : unseenFields(wanted, reports?.features)),
      ],
      workloads,
      pods,
      autoscalers: caches.autoscalers.ownedBy(document.metadata.uid ?? ''),
      claims: caches.claims.indexed('component', `${key}/redis`),
      refusal,
      demand: {
        partitions: partitions ?? former.source?.partitions,
        floor: floor ?? former.scaling?.minReplicas,
      },
      source,
      reports,
      redisRecord: redisRecord ?? redisRecordOf(caches.services.get(`${key}-redis-primary`)),
      servesMonitors: options.servesMonitors(),
      backupJob: caches.cronJobs.get(`${key}-redis-backup`),
      rival: options.rival(document),
    }
  }
}

/** The file that the pods of a pipeline read, where it is the pipeline's own. */
export function fileOf({ metadata }: KubeObject, configMaps: Cache): KubeObject | undefined {
  const file = configMaps.get(`${metadata.namespace}/${metadata.name}-pipeline`)
  return file !== undefined && controllerOf(file)?.uid === metadata.uid ? file : undefined
}

/** Names of the Secrets or ConfigMaps that the pipeline names, as `namespace/name`. */
export const namedBy = (pipeline: Pipeline | undefined, kind: SecretUse['kind']): readonly string[] => {
  if (pipeline === undefined) return []
  const uses = roles.flatMap((role) => secretsOf(pipeline, role)).filter((use) => use.kind === kind)
  return uses.map(({ name }) => `${pipeline.metadata.namespace}/${name}`)
}

export const byRole = <T>(of: (role: Role) => T): Readonly<Record<Role, T>> => ({
  consumer: of('consumer'),
  inference: of('inference'),
  api: of('api'),
  recorder: of('recorder'),
})
