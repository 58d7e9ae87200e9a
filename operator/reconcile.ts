import { randomBytes } from 'node:crypto'
import { messageOf } from '../lib/errors.ts'
import { checkPipeline, type ParsedPipeline } from '../lib/pipeline/parse-pipeline.ts'
import { resolveRedis, resolveScaling } from '../lib/pipeline/resolve-pipeline.ts'
import { type Pipeline, type Role, roles } from '../lib/pipeline/spec.ts'
import type { PipelineStatus } from '../lib/pipeline/status.ts'
import { traced } from '../lib/telemetry.ts'
import {
  type Component,
  childName,
  components,
  hashOf,
  type Parent,
  reconcileAnnotation,
  replicasAnnotation,
  restartAnnotation,
  secretsAnnotation,
} from './desired/child.ts'
import { desired, type Settings } from './desired/desired.ts'
import { type Bounds, planReplicas, type ReplicasPlan } from './desired/replicas.ts'
import { deployments, pipelines, secrets } from './kinds.ts'
import { findSecrets, secretsOf } from './named-secrets.ts'
import type { Applier, SyncResult } from './runtime/apply.ts'
import type { Cache } from './runtime/cache.ts'
import type { EventRecorder } from './runtime/events.ts'
import { type KubeClient, statusOf } from './runtime/kube-client.ts'
import { describeObject, type KubeObject, ownedBy } from './runtime/kube-object.ts'
import type { NamedObjects } from './runtime/named-objects.ts'
import type { Outcome } from './runtime/queue.ts'
import { type PodReports, type Problem, pipelineStatus, type SourceSample } from './status.ts'

/** What is seen of pipelines beside the API server; see lag/ and reports.ts. Never waits. */
export interface Observations {
  readonly source?: SourceSample | undefined
  readonly consumerBounds?: Bounds | undefined
  /** What the lag asks for, also where it only recommends. */
  readonly recommended?: Bounds | undefined
  readonly reports?: PodReports | undefined
}

export interface ReconcilerOptions {
  readonly client: KubeClient
  readonly applier: Applier
  readonly caches: {
    readonly pipelines: Cache
    readonly deployments: Cache
    readonly statefulSets: Cache
    readonly autoscalers: Cache
    readonly secrets: Cache
    /** With an index `component`: `namespace/pipeline/component`. */
    readonly pods: Cache
  }
  readonly namedSecrets: NamedObjects
  readonly recorder: EventRecorder
  readonly settings: Settings
  /** Asserted before a write that does not go through the applier. */
  readonly mayWrite: () => boolean
  /** What the served CRD lacks, if anything: then nothing but that is told. */
  readonly crdProblem: () => string | undefined
  readonly servesMonitors: boolean
  readonly observe: (key: string) => Observations
  /** Called for each pipeline that is to be observed, and with undefined when one is gone. */
  readonly follow: (key: string, pipeline: Pipeline | undefined) => void
  readonly wall: () => number
}

/** In whose name replicas are set for the moment between the operator and an HPA. */
const handOverManager = 'anomaly-operator-handover'

/**
 * Brings one pipeline nearer to its document, from whatever state it is in: read, judge, make what is desired so, and
 * say in the status how it went. Never waits for anything to happen: whatever changes brings the key back.
 */
export function createReconciler(options: ReconcilerOptions) {
  const { client, applier, caches, namedSecrets, recorder, settings, observe, follow, wall } = options
  const parsed = new Map<string, { readonly version: string; readonly result: ParsedPipeline }>()

  function parse(key: string, document: KubeObject): ParsedPipeline {
    const version = `${document.metadata.uid}/${document.metadata.generation}`
    const known = parsed.get(key)
    if (known?.version === version) return known.result
    const result = checkPipeline(document)
    parsed.set(key, { version, result })
    return result
  }

  function forget(key: string): void {
    parsed.delete(key)
    namedSecrets.use(key, [])
    follow(key, undefined)
  }

  const live = (parent: Parent, component: Component): KubeObject | undefined => {
    const key = `${parent.pipeline.metadata.namespace}/${childName(parent, component)}`
    return component === 'redis' ? caches.statefulSets.get(key) : caches.deployments.get(key)
  }

  /** A value that was made up once: from the Secret that keeps it, wherever that is, or a new one. */
  async function keptOrMade(parent: Parent, suffix: string, entry: string, signal: AbortSignal): Promise<string> {
    const name = childName(parent, suffix)
    const { namespace } = parent.pipeline.metadata
    let secret = caches.secrets.get(`${namespace}/${name}`)
    try {
      // One that lost its label is not in the cache, and must not be overwritten all the same.
      secret ??= await client.get(secrets, { namespace, name }, { signal })
    } catch (error) {
      if (statusOf(error)?.code !== 404) throw error
    }
    const value = (secret?.data as Readonly<Record<string, string>> | undefined)?.[entry]
    return value === undefined ? randomBytes(32).toString('hex') : Buffer.from(value, 'base64').toString()
  }

  /** Gives the replicas of a Deployment to another manager at their present value; refused if they changed meanwhile. */
  async function handOver({ metadata, spec }: KubeObject, signal: AbortSignal): Promise<void> {
    const { name, namespace = '', resourceVersion = '' } = metadata
    const { replicas } = spec as { replicas: number }
    const { apiVersion, kind } = deployments
    const body = { apiVersion, kind, metadata: { name, namespace, resourceVersion }, spec: { replicas } }
    if (!options.mayWrite()) return
    await client.apply(deployments, body, { fieldManager: handOverManager, force: true, signal })
  }

  function planOf(parent: Parent, role: Role, bounds: Bounds | undefined): ReplicasPlan {
    const { namespace } = parent.pipeline.metadata
    const autoscalerExists = caches.autoscalers.get(`${namespace}/${childName(parent, role)}`) !== undefined
    const { spec } = parent.pipeline
    return planReplicas({ spec, role, live: live(parent, role), autoscalerExists, bounds })
  }

  /** Makes what the pipeline asks for so; gives what kept it from that. */
  async function bringAbout(key: string, parent: Parent, document: KubeObject, signal: AbortSignal) {
    const { pipeline } = parent
    const { namespace } = pipeline.metadata
    const problems: Problem[] = []
    const uses = Object.fromEntries(roles.map((role) => [role, secretsOf(pipeline, role)])) as Record<
      Role,
      ReturnType<typeof secretsOf>
    >
    namedSecrets.use(
      key,
      roles.flatMap((role) => uses[role].map(({ name }) => `${namespace}/${name}`)),
    )
    const signingKey = await keptOrMade(parent, 'signing', 'key', signal)
    const isManaged = resolveRedis(pipeline).type === 'managed'
    const redisPassword = isManaged ? await keptOrMade(parent, 'redis', 'password', signal) : ''

    const secretHashes = {} as Record<Role, string | undefined>
    const replicas = {} as Record<Role, ReplicasPlan>
    const consumerBounds = observe(key).consumerBounds ?? knownBounds(parent.pipeline, document)
    for (const role of roles) {
      const found = findSecrets(uses[role], (name) => namedSecrets.get(`${namespace}/${name}`))
      if (found.missing === undefined) {
        secretHashes[role] = hashOf([found.hash, redisPassword, role === 'inference' ? '' : signingKey])
      } else {
        // What runs goes on with what it was started with.
        secretHashes[role] = templateAnnotation(live(parent, role), secretsAnnotation)
        if (!problems.some(({ message }) => message === found.missing))
          problems.push({ reason: 'SecretMissing', message: found.missing, stalled: true })
      }
      replicas[role] = planOf(parent, role, role === 'consumer' ? consumerBounds : undefined)
      const workload = live(parent, role)
      if (replicas[role].handOver === true && workload !== undefined) await handOver(workload, signal)
    }
    const restartAt = document.metadata.annotations?.[restartAnnotation]
    const { servesMonitors } = options
    const observed = { replicas, secretHashes, signingKey, redisPassword, consumerBounds, servesMonitors, restartAt }
    const before = new Map(roles.map((role) => [role, live(parent, role)]))
    const result = await applier.sync(document, desired(parent, observed, settings), { signal })
    for (const role of roles) tellOfScaling(document, role, before.get(role), live(parent, role))
    tellOf(document, result)
    for (const { object, error } of result.failures) {
      const code = statusOf(error)?.code
      const stalled = code === 403 || code === 422 || code === 409
      const message = `${describeObject(object)}: ${messageOf(error)}`
      problems.push({ reason: stalled ? 'ApplyRefused' : 'ApplyFailed', message, stalled })
    }
    return { problems, failure: result.failures[0]?.error }
  }

  function tellOf(document: KubeObject, { applied, pruned }: SyncResult): void {
    for (const { object, outcome } of applied) {
      if (outcome === 'healed')
        recorder.record(
          document,
          'Normal',
          'DriftHealed',
          `${describeObject(object)} was changed by another; set right`,
        )
    }
    for (const object of pruned)
      recorder.record(document, 'Normal', 'Pruned', `${describeObject(object)} is no longer asked for; deleted`)
  }

  function tellOfScaling(
    document: KubeObject,
    role: Role,
    before: KubeObject | undefined,
    after: KubeObject | undefined,
  ): void {
    if (before === undefined || after === undefined) return
    const [was, is] = [before, after].map(({ metadata }) => metadata.annotations?.[replicasAnnotation])
    if (was === is) return
    if (is === 'autoscaled')
      recorder.record(
        document,
        'Normal',
        'AutoscalingOn',
        `${role}: its autoscaler now says how many replicas there are`,
      )
    else if (was === 'autoscaled')
      recorder.record(
        document,
        'Normal',
        'AutoscalingOff',
        `${role}: the operator now says how many replicas there are`,
      )
  }

  function tellOfConditions(document: KubeObject, status: PipelineStatus): void {
    const before = (document.status ?? {}) as PipelineStatus
    const ready = (of: PipelineStatus) => of.conditions?.find(({ type }) => type === 'Ready')
    const [was, is] = [ready(before), ready(status)]
    if (is === undefined || is.reason === was?.reason) return
    const isStalled = status.conditions?.some(({ type }) => type === 'Stalled') === true
    if (isStalled || is.reason === 'SourceUnreachable')
      recorder.record(document, 'Warning', is.reason, is.message.slice(0, 1024))
    else if (is.status !== 'False') recorder.record(document, 'Normal', is.reason, is.message)
  }

  function statusOfPipeline(
    key: string,
    document: KubeObject,
    { pipeline, issues = [] }: ParsedPipeline,
    problems: readonly Problem[],
    disabled: boolean,
  ): PipelineStatus {
    const { name, namespace = '' } = document.metadata
    const workload = (component: Component) => {
      const workloadKey = `${namespace}/${name}-${component}`
      const found = component === 'redis' ? caches.statefulSets.get(workloadKey) : caches.deployments.get(workloadKey)
      return found === undefined ? [] : [[component, found] as const]
    }
    const podsOf = (component: Component) => caches.pods.indexed('component', `${namespace}/${name}/${component}`)
    return pipelineStatus({
      document,
      pipeline,
      issues: issues.map(({ line }) => line),
      problems,
      disabled,
      workloads: Object.fromEntries(components.flatMap(workload)),
      pods: Object.fromEntries(components.map((component) => [component, podsOf(component)])),
      autoscalers: caches.autoscalers.ownedBy(document.metadata.uid ?? ''),
      ...observe(key),
      now: new Date(wall()).toISOString().replace(/\.\d+Z$/, 'Z'),
    })
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<Outcome | undefined> {
    const document = caches.pipelines.get(key)
    if (document === undefined || document.metadata.deletionTimestamp !== undefined) {
      forget(key)
      return undefined
    }
    const result = parse(key, document)
    const disabled = document.metadata.annotations?.[reconcileAnnotation] === 'Disabled'
    const lacking = options.crdProblem()
    let problems: readonly Problem[] = []
    let failure: unknown
    if (lacking !== undefined) {
      problems = [{ reason: 'CrdOutdated', message: lacking, stalled: true }]
    } else if (result.pipeline !== undefined && !disabled) {
      follow(key, result.pipeline)
      const parent: Parent = { pipeline: result.pipeline, owner: ownedBy(document) }
      try {
        const outcome = await bringAbout(key, parent, document, signal)
        problems = outcome.problems
        failure = outcome.failure
      } catch (error) {
        failure = error
        problems = [{ reason: 'ReconcileFailed', message: messageOf(error), stalled: false }]
      }
    }
    const status = statusOfPipeline(key, document, result, problems, disabled)
    try {
      if (await applier.applyStatus(pipelines, document, status, { signal })) tellOfConditions(document, status)
    } catch (error) {
      // What went wrong first is what is told.
      if (failure === undefined && statusOf(error)?.code !== 404) throw error
    }
    if (failure !== undefined) throw failure
    return undefined
  }

  return (key: string, { signal }: { readonly signal: AbortSignal }): Promise<Outcome | undefined> =>
    traced('reconcile', { attributes: { 'anomaly.pipeline': key } }, () => reconcile(key, signal))
}

/** What the lag asked for before the operator was started: it stands until the lag has been looked at again. */
function knownBounds({ spec }: Pipeline, { status }: KubeObject): Bounds | undefined {
  const { minReplicas, maxReplicas } = (status as PipelineStatus | undefined)?.scaling ?? {}
  const scaling = resolveScaling(spec, 'consumer')
  if (scaling.type === 'fixed' || scaling.mode === 'Recommend') return undefined
  if (minReplicas === undefined || maxReplicas === undefined) return undefined
  const most = Math.max(1, Math.min(maxReplicas, scaling.maxReplicas))
  return { minReplicas: Math.min(most, Math.max(minReplicas, scaling.minReplicas)), maxReplicas: most }
}

function templateAnnotation(workload: KubeObject | undefined, name: string): string | undefined {
  const spec = workload?.spec as
    | { template?: { metadata?: { annotations?: Readonly<Record<string, string>> } } }
    | undefined
  return spec?.template?.metadata?.annotations?.[name]
}
