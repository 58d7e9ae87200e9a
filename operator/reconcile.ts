import { checkPipeline, type ParsedPipeline } from '../lib/pipeline/parse-pipeline.ts'
import { resolveRedis } from '../lib/pipeline/resolve-pipeline.ts'
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
  restartAnnotation,
  secretsAnnotation,
} from './desired/child.ts'
import { desired, type Settings } from './desired/desired.ts'
import { type Bounds, planReplicas, type ReplicasPlan } from './desired/replicas.ts'
import { redisSecret, signingSecret } from './desired/secrets.ts'
import { generatedSecret } from './generated-secret.ts'
import { deployments, pipelines } from './kinds.ts'
import { consumerBounds, type LagDemand } from './lag/consumer-bounds.ts'
import { findSecrets, type SecretsFound, secretsOf } from './named-secrets.ts'
import { problemOf } from './problem.ts'
import type { Applier } from './runtime/apply.ts'
import type { Cache } from './runtime/cache.ts'
import type { EventRecorder } from './runtime/events.ts'
import { isNamespaceTerminating, type KubeClient, statusOf } from './runtime/kube-client.ts'
import { type KubeObject, ownedBy } from './runtime/kube-object.ts'
import type { NamedObjects } from './runtime/named-objects.ts'
import type { Outcome } from './runtime/queue.ts'
import { type PodReports, type Problem, pipelineStatus, type SourceSample } from './status.ts'
import { type Told, templateOf, toldOfChildren, toldOfStatus, toldOfWorkloads, type Workloads } from './tell.ts'

/** What is seen of a pipeline beside the API server, each in its own time; see lag/ and pod-reports.ts. */
export interface Observations extends LagDemand {
  readonly source?: SourceSample | undefined
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
  /** Asked before a write that does not go through the applier. */
  readonly mayWrite: () => boolean
  /** What the served CRD lacks, if anything: then nothing but that is told. */
  readonly crdProblem: () => string | undefined
  readonly servesMonitors: () => boolean
  /** Never waits. */
  readonly observe: (key: string) => Observations
  /** Called for each pipeline that is to be observed, and with undefined when one is gone. */
  readonly follow: (key: string, pipeline: Pipeline | undefined) => void
  readonly wall: () => number
}

/** How a pass over the children went. */
interface Pass {
  readonly problems: readonly Problem[]
  /** What kept it from its end: the pass is tried again, ever later. */
  readonly failure?: unknown
  /** Nothing can be said at this moment, because what was read is not so any more, or not known yet. */
  readonly moot?: Outcome
}

/** In whose name replicas are set for the moment between the operator and an HPA. */
const handOverManager = 'anomaly-operator-handover'
/** When to look again after somebody else changed what was about to be changed. */
const conflictMs = 100
/** When to look again for Secrets that were named just now. Their coming brings the key back earlier. */
const unreadMs = 1000

/**
 * Brings one pipeline nearer to its document, from whatever state it is in: read the document, make what it asks for so,
 * say in the status how it went. Never waits for anything to happen: whatever changes brings the key back. A pass that
 * finds all as it should be neither reads nor writes anything.
 */
export function createReconciler(options: ReconcilerOptions) {
  const { client, applier, caches, namedSecrets, recorder, settings, observe, follow, wall } = options
  const parsed = new Map<string, { readonly version: string; readonly result: ParsedPipeline }>()

  async function reconcile(key: string, signal: AbortSignal): Promise<Outcome | undefined> {
    const document = caches.pipelines.get(key)
    // Its children go with it, by their owner references.
    if (document === undefined || document.metadata.deletionTimestamp !== undefined) return forget(key)

    const { pipeline, issues = [] } = parse(key, document)
    const lacking = options.crdProblem()
    let pass: Pass = { problems: [] }
    if (lacking !== undefined) pass = { problems: [{ reason: 'CrdOutdated', message: lacking, stalled: true }] }
    else if (pipeline !== undefined && !isDisabled(document)) pass = await bringAbout(key, pipeline, document, signal)
    if (pass.moot !== undefined) return pass.moot

    const lines = issues.map(({ line }) => line)
    await say(document, statusAsSeen(key, document, pipeline, lines, pass.problems), pass, signal)
    if (pass.failure !== undefined) throw pass.failure
    return undefined
  }

  function forget(key: string): undefined {
    parsed.delete(key)
    namedSecrets.use(key, [])
    follow(key, undefined)
  }

  function parse(key: string, document: KubeObject): ParsedPipeline {
    const version = `${document.metadata.uid}/${document.metadata.generation}`
    const known = parsed.get(key)
    if (known?.version === version) return known.result
    const result = checkPipeline(document)
    parsed.set(key, { version, result })
    return result
  }

  /** Makes what the pipeline asks for so, as far as it goes. */
  async function bringAbout(key: string, pipeline: Pipeline, document: KubeObject, signal: AbortSignal): Promise<Pass> {
    const found = lookAtSecrets(key, pipeline)
    if (found === undefined) return { problems: [], moot: { againAfterMs: unreadMs } }
    follow(key, pipeline)
    const problems = problemsOf(found)
    try {
      const parent: Parent = { pipeline, owner: ownedBy(document) }
      const signingKey = await generated(parent, 'signing', 'key', signingSecret, signal)
      const hasRedis = resolveRedis(pipeline).type === 'managed'
      const redisPassword = hasRedis ? await generated(parent, 'redis', 'password', redisSecret, signal) : ''
      const before = workloadsOf(document)
      const secretHashes = byRole((role) => {
        // What runs goes on with what it was started with.
        if (found[role].problem !== undefined)
          return templateOf(before[role]).metadata?.annotations?.[secretsAnnotation]
        return hashOf([found[role].hash, redisPassword, signingKey])
      })
      const bounds = consumerBounds(pipeline, demandOf(key, document))?.applied
      const replicas = byRole((role) => planOf(parent, role, before[role], role === 'consumer' ? bounds : undefined))
      for (const role of roles) if (replicas[role].handOver === true) await handOver(before[role]!, signal)
      const restartAt = document.metadata.annotations?.[restartAnnotation]
      const servesMonitors = options.servesMonitors()
      const secret = { secretHashes, signingKey, redisPassword }
      const observed = { ...secret, replicas, consumerBounds: bounds, servesMonitors, restartAt }

      const result = await applier.sync(document, desired(parent, observed, settings), { signal })
      tell(document, [...toldOfWorkloads(before, workloadsOf(document)), ...toldOfChildren(result)])
      const failure = result.failures[0]?.error
      if (isNamespaceTerminating(failure)) return { problems, moot: {} }
      return { problems: [...problems, ...result.failures.map(({ error }) => problemOf(error))], failure }
    } catch (error) {
      if (isNamespaceTerminating(error)) return { problems, moot: {} }
      if (statusOf(error)?.reason === 'Conflict') return { problems, moot: { againAfterMs: conflictMs } }
      return { problems: [...problems, problemOf(error)], failure: error }
    }
  }

  /** What the workloads' Secrets hold; undefined while one that was named just now has not been looked at. */
  function lookAtSecrets(key: string, pipeline: Pipeline): Readonly<Record<Role, SecretsFound>> | undefined {
    const keyOf = (name: string) => `${pipeline.metadata.namespace}/${name}`
    const uses = byRole((role) => secretsOf(pipeline, role))
    const named = roles.flatMap((role) => uses[role].map(({ name }) => keyOf(name)))
    namedSecrets.use(key, named)
    const isUnread = (name: string) => namedSecrets.get(name) === undefined && namedSecrets.failure(name) === undefined
    if (named.some(isUnread)) return undefined
    return byRole((role) => findSecrets(uses[role], (name) => namedSecrets.get(keyOf(name))))
  }

  function generated(
    parent: Parent,
    suffix: string,
    entry: string,
    manifest: (parent: Parent, value: string) => KubeObject,
    signal: AbortSignal,
  ): Promise<string> {
    return generatedSecret(parent, { suffix, entry, manifest }, { client, applier, secrets: caches.secrets, signal })
  }

  function planOf(parent: Parent, role: Role, live: KubeObject | undefined, bounds: Bounds | undefined): ReplicasPlan {
    const { spec, metadata } = parent.pipeline
    const autoscalerExists = caches.autoscalers.get(`${metadata.namespace}/${childName(parent, role)}`) !== undefined
    return planReplicas({ spec, role, live, autoscalerExists, bounds })
  }

  /** Gives the replicas of a Deployment to another manager at their present value; Conflict if they changed meanwhile. */
  async function handOver({ metadata, spec }: KubeObject, signal: AbortSignal): Promise<void> {
    const { name, namespace = '', resourceVersion = '' } = metadata
    const { replicas } = spec as { replicas: number }
    const { apiVersion, kind } = deployments
    const body = { apiVersion, kind, metadata: { name, namespace, resourceVersion }, spec: { replicas } }
    if (!options.mayWrite()) return
    await client.apply(deployments, body, { fieldManager: handOverManager, force: true, signal })
  }

  function workloadsOf({ metadata: { name, namespace } }: KubeObject): Workloads {
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
    const { partitions = source?.partitions, floor = scaling?.minReplicas } = observe(key)
    return { partitions, floor }
  }

  function statusAsSeen(
    key: string,
    document: KubeObject,
    pipeline: Pipeline | undefined,
    issues: readonly string[],
    problems: readonly Problem[],
  ): PipelineStatus {
    const { name, namespace, uid = '' } = document.metadata
    const { source, reports } = observe(key)
    const demand = demandOf(key, document)
    const podsOf = (component: Component) => caches.pods.indexed('component', `${namespace}/${name}/${component}`)
    return pipelineStatus({
      document,
      pipeline,
      issues,
      problems,
      disabled: isDisabled(document),
      workloads: workloadsOf(document),
      pods: Object.fromEntries(components.map((component) => [component, podsOf(component)])),
      autoscalers: caches.autoscalers.ownedBy(uid),
      source,
      recommended:
        pipeline === undefined || demand.floor === undefined
          ? undefined
          : consumerBounds(pipeline, demand)?.recommended,
      reports,
      now: new Date(wall()).toISOString().replace(/\.\d+Z$/, 'Z'),
    })
  }

  /** Writes the status if it differs, and tells what is new in it. */
  async function say(
    document: KubeObject,
    status: PipelineStatus,
    { failure }: Pass,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const isNew = await applier.applyStatus(pipelines, document, status, { signal })
      if (isNew) tell(document, toldOfStatus((document.status ?? {}) as PipelineStatus, status))
    } catch (error) {
      // What went wrong first is what is told; a pipeline that is gone needs no status.
      if (failure === undefined && statusOf(error)?.code !== 404) throw error
    }
  }

  function tell(document: KubeObject, told: readonly Told[]): void {
    for (const { type, reason, message } of told) recorder.record(document, type, reason, message)
  }

  return (key: string, { signal }: { readonly signal: AbortSignal }): Promise<Outcome | undefined> =>
    traced('reconcile', { attributes: { 'anomaly.pipeline': key } }, () => reconcile(key, signal))
}

const isDisabled = ({ metadata }: KubeObject): boolean => metadata.annotations?.[reconcileAnnotation] === 'Disabled'

const byRole = <T>(of: (role: Role) => T): Readonly<Record<Role, T>> => ({
  consumer: of('consumer'),
  inference: of('inference'),
  api: of('api'),
})

/** One for each Secret, though several workloads read it. */
function problemsOf(found: Readonly<Record<Role, SecretsFound>>): readonly Problem[] {
  const problems = roles.flatMap((role) => found[role].problem ?? [])
  return [...new Map(problems.map((problem) => [problem.message, problem])).values()]
}
