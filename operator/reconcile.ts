import { randomBytes } from 'node:crypto'
import { messageOf } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'
import { checkPipeline, type ParsedPipeline } from '../lib/pipeline/parse-pipeline.ts'
import { resolveGroup } from '../lib/pipeline/resolve-pipeline.ts'
import { type Pipeline, roles } from '../lib/pipeline/spec.ts'
import type { PipelineStatus } from '../lib/pipeline/status.ts'
import { traced } from '../lib/telemetry.ts'
import { isDisabled } from './annotations.ts'
import { generationAnnotation } from './desired/child.ts'
import type { Settings } from './desired/desired.ts'
import { claims, configMaps, deployments, pipelines, pods } from './kinds.ts'
import { consumerBounds } from './lag/consumer-bounds.ts'
import type { Observe, Scope } from './observer.ts'
import { eventsOfStatus, eventsOfSync, eventsOfWorkloads, type PipelineEvent } from './pipeline-events.ts'
import { type Plan, planOf } from './plan.ts'
import { type Problem, problemOf } from './problem.ts'
import type { Applier } from './runtime/apply.ts'
import type { Cache } from './runtime/cache.ts'
import type { EventRecorder } from './runtime/events.ts'
import type { KubeClient } from './runtime/kube-client.ts'
import { type KubeObject, keyOf } from './runtime/kube-object.ts'
import { isNamespaceTerminating, statusOf } from './runtime/kube-status.ts'
import type { Result } from './runtime/queue.ts'
import type { Applied, SyncResult } from './runtime/sync.ts'
import { autoscalersAfter, workloadsAfter } from './status/after-sync.ts'
import { pipelineStatus } from './status/pipeline-status.ts'

export interface ReconcilerOptions {
  readonly pipelines: Cache
  readonly client: KubeClient
  readonly applier: Applier
  readonly observe: Observe
  readonly recorder: EventRecorder
  readonly settings: Settings
  /** Asked before a write that does not go through the applier. */
  readonly mayWrite: () => boolean
  /** What the served CRD lacks, if anything: then nothing but that is told. */
  readonly crdProblem: () => string | undefined
  /** Called with each pipeline before it is observed, and with undefined when one is gone: what it names is watched. */
  readonly watch: (key: string, pipeline: Pipeline | undefined) => void
  readonly log: Logger
  /** What does not heal by itself is left so much time to do so all the same. */
  readonly patienceMs?: number | undefined
  readonly wall: () => number
}

/** How it went to make what a pipeline asks for so. */
interface Outcome {
  readonly problems: readonly Problem[]
  /** What was applied. */
  readonly plan?: Plan | undefined
  readonly sync?: SyncResult
  /** What kept it from its end: it is tried again, ever later. */
  readonly failure?: unknown
  /** Nothing can be said at this moment, since what was read is not known yet or not so any more: when to look again. */
  readonly skip?: Result
}

/** In whose name replicas are set for the moment between the operator and an HPA. */
const handOverManager = 'anomaly-operator-handover'
/** When to look again for Secrets that were named just now. Their coming brings the key back earlier. */
const unreadMs = 1000
/** When to look again after somebody else changed what was about to be changed. */
const conflictMs = 100
/** When to look again at a pipeline that is not ready: how long it waits for something, nothing tells. */
const waitingMs = 15_000

/**
 * Brings one pipeline nearer to its document, from whatever state it is in: observes the world once, decides, applies,
 * and tells how it went in status and events. Never waits for anything to happen: whatever changes brings the key back.
 * Where all is as it should be, nothing is read from the API server or written to it.
 */
export function createReconciler(options: ReconcilerOptions) {
  const { client, applier, observe, recorder, settings, mayWrite, crdProblem, watch, log, wall } = options
  const newSecret = () => randomBytes(32).toString('hex')
  const parses = createParses()

  async function reconcile(key: string, signal: AbortSignal): Promise<Result | undefined> {
    const document = options.pipelines.get(key)
    // Its children go with it, by their owner references.
    if (document === undefined || document.metadata.deletionTimestamp !== undefined) return forget(key)

    const parsed = parses.of(key, document)
    if (parsed.pipeline !== undefined && !isDisabled(document)) watch(key, parsed.pipeline)
    const scope = await observe(document, parsed, signal)
    const outcome = await apply(scope, signal)
    if (outcome.skip !== undefined) return outcome.skip
    let status: PipelineStatus | undefined
    try {
      status = await tell(scope, outcome, signal)
    } catch (error) {
      // What went wrong first is what is told; a pipeline that is gone needs no status.
      if (outcome.failure === undefined && statusOf(error)?.code !== 404) throw error
    }
    if (outcome.failure !== undefined) throw outcome.failure
    return isWaiting(status) ? { requeueAfterMs: waitingMs } : undefined
  }

  /** Decides and applies. */
  async function apply(scope: Scope, signal: AbortSignal): Promise<Outcome> {
    const { document, pipeline, secrets } = scope
    const outdated = crdProblem()
    if (outdated !== undefined) return { problems: [{ reason: 'CrdOutdated', message: outdated, stalled: true }] }
    // What the last valid document asked for keeps running.
    if (pipeline === undefined || scope.issues.length > 0 || isDisabled(document)) return { problems: [] }
    if (scope.rival !== undefined) return { problems: [groupTaken(pipeline, scope.rival)] }
    if (secrets === undefined) return { problems: [], skip: { requeueAfterMs: unreadMs } }
    const { failure } = scope
    if (failure !== undefined) return { problems: [problemOf(failure)], failure }

    const plan = planOf({ ...scope, pipeline, secrets }, { settings, newSecret })
    const { desired, needs, handOver, growing, problems: missing } = plan
    const problems = [...missing]
    try {
      for (const one of growing) problems.push(...(await grow(one, signal)))
      for (const deployment of handOver) await passReplicas(deployment, signal)
      const sync = await applier.sync(document, desired, { needs, signal })
      await wakeKubelets(scope, sync, signal)
      const failures = sync.failures.map(({ error }) => error)
      if (failures.some(isNamespaceTerminating)) return { problems, skip: {} }
      if (failures.some(isConflict)) return { problems, skip: { requeueAfterMs: conflictMs } }
      return {
        problems: [...problems, ...sync.failures.map(({ object, error }) => problemOf(error, object))],
        plan,
        sync,
        failure: failures[0],
      }
    } catch (error) {
      if (isNamespaceTerminating(error)) return { problems, skip: {} }
      if (isConflict(error)) return { problems, skip: { requeueAfterMs: conflictMs } }
      return { problems: [...problems, problemOf(error)], plan, failure: error }
    }
  }

  /**
   * The kubelet brings a changed file into a pod when it looks at the pod next: within a minute, or at once where the pod
   * changes. A pod that cannot be changed has the file a little later.
   */
  async function wakeKubelets({ document, pods: found }: Scope, sync: SyncResult, signal: AbortSignal): Promise<void> {
    const isNew = ({ object, outcome }: Applied) =>
      object.kind === configMaps.kind && (outcome === 'updated' || outcome === 'healed')
    if (!sync.applied.some(isNew)) return
    const annotations = { [generationAnnotation]: String(document.metadata.generation) }
    const running = roles.flatMap((role) => found[role] ?? []).filter(isRunning)
    await Promise.all(
      running.map(async ({ metadata }) => {
        if (!mayWrite()) return
        const { name, namespace } = metadata
        try {
          await client.patch(pods, { name, namespace }, { metadata: { annotations } }, { signal })
        } catch (error) {
          log.debug({ pod: name, error }, 'the pod could not be told of its changed file')
        }
      }),
    )
  }

  /** Writes the status if it differs, and tells what was done and what is new. Gives the status as it is now. */
  async function tell(scope: Scope, outcome: Outcome, signal: AbortSignal): Promise<PipelineStatus> {
    const { document, demand } = scope
    const { sync, problems, plan } = outcome
    const pipeline = plan?.pipeline ?? scope.pipeline
    const workloads = workloadsAfter(scope.workloads, sync)
    if (sync !== undefined) record(document, [...eventsOfWorkloads(scope.workloads, workloads), ...eventsOfSync(sync)])
    const isAsked = pipeline !== undefined && demand.floor !== undefined
    const status = pipelineStatus({
      ...scope,
      pipeline,
      move: plan === undefined ? undefined : (plan.move ?? null),
      problems,
      workloads,
      autoscalers: autoscalersAfter(scope.autoscalers, sync),
      recommended: isAsked ? consumerBounds(pipeline, demand)?.recommended : undefined,
      disabled: isDisabled(document),
      patienceMs: options.patienceMs,
      now: new Date(wall()).toISOString().replace(/\.\d+Z$/, 'Z'),
    })
    const former = (document.status ?? {}) as PipelineStatus
    if (await applier.applyStatus(pipelines, document, status, { signal }))
      record(document, eventsOfStatus(former, status))
    return status
  }

  /** Asks for more of a volume; where its class does not give it, all else goes on. */
  async function grow({ claim, size }: Plan['growing'][number], signal: AbortSignal): Promise<readonly Problem[]> {
    if (!mayWrite()) return []
    const { name, namespace = '' } = claim.metadata
    const body = { spec: { resources: { requests: { storage: size } } } }
    try {
      await client.patch(claims, { name, namespace }, body, { signal })
      return []
    } catch (error) {
      const code = statusOf(error)?.code
      if (code !== 403 && code !== 422) throw error
      const message = `spec.state.redis.managed.storage.size: the volume ${name} cannot become ${size}: ${messageOf(error)}`
      return [{ reason: 'VolumeNotGrown', message, stalled: true }]
    }
  }

  /** Gives the replicas of a Deployment to another manager at their present value; Conflict if they changed meanwhile. */
  async function passReplicas({ metadata, spec }: KubeObject, signal: AbortSignal): Promise<void> {
    const { name, namespace = '', resourceVersion = '' } = metadata
    const { replicas } = spec as { replicas: number }
    const { apiVersion, kind } = deployments
    const body = { apiVersion, kind, metadata: { name, namespace, resourceVersion }, spec: { replicas } }
    if (!mayWrite()) return
    await client.apply(deployments, body, { fieldManager: handOverManager, force: true, signal })
  }

  function record(document: KubeObject, events: readonly PipelineEvent[]): void {
    for (const { type, reason, message } of events) {
      log[type === 'Warning' ? 'warn' : 'info']({ pipeline: keyOf(document), reason }, message)
      recorder.record(document, type, reason, message)
    }
  }

  function forget(key: string): undefined {
    parses.forget(key)
    watch(key, undefined)
  }

  return (key: string, { signal }: { readonly signal: AbortSignal }): Promise<Result | undefined> =>
    traced('reconcile', { attributes: { 'anomaly.pipeline': key } }, () => reconcile(key, signal))
}

const isRunning = ({ status, metadata }: KubeObject): boolean =>
  (status as { readonly phase?: string } | undefined)?.phase === 'Running' && metadata.deletionTimestamp === undefined

/** Documents as they were parsed, once for each generation. */
function createParses() {
  const known = new Map<string, { readonly version: string; readonly parsed: ParsedPipeline }>()
  return {
    of(key: string, document: KubeObject): ParsedPipeline {
      const version = `${document.metadata.uid}/${document.metadata.generation}`
      const before = known.get(key)
      if (before?.version === version) return before.parsed
      const parsed = checkPipeline(document)
      known.set(key, { version, parsed })
      return parsed
    },
    forget: (key: string) => known.delete(key),
  }
}

/** What it would run takes events from another pipeline; so it is not made, and what runs stays as it is. */
function groupTaken(pipeline: Pipeline, rival: string): Problem {
  const { topic } = pipeline.spec.source
  const message = `spec.source.groupId: AnomalyPipeline ${rival} reads topic ${topic} as group ${resolveGroup(pipeline).groupId} already; create this one anew with another groupId`
  return { reason: 'GroupTaken', message, stalled: true }
}

/** Whether what was about to be changed is not what it was. */
const isConflict = (error: unknown): boolean => statusOf(error)?.reason === 'Conflict'

/** Whether it is on its way, or waits for what may come by itself. */
function isWaiting(status: PipelineStatus | undefined): boolean {
  const is = (type: string, value: string) =>
    status?.conditions?.some((condition) => condition.type === type && condition.status === value) === true
  return (is('Ready', 'False') || is('Progressing', 'True')) && !is('Stalled', 'True')
}
