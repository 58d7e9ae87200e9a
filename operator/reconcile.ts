import { checkPipeline, type ParsedPipeline } from '../lib/pipeline/parse-pipeline.ts'
import { type Pipeline, roles } from '../lib/pipeline/spec.ts'
import type { PipelineStatus } from '../lib/pipeline/status.ts'
import { traced } from '../lib/telemetry.ts'
import { type Parent, reconcileAnnotation } from './desired/child.ts'
import { desired, type Settings } from './desired/desired.ts'
import { deployments, pipelines } from './kinds.ts'
import type { Observer } from './observer.ts'
import { problemOf } from './problem.ts'
import type { Applier } from './runtime/apply.ts'
import type { Cache } from './runtime/cache.ts'
import type { EventRecorder } from './runtime/events.ts'
import type { KubeClient } from './runtime/kube-client.ts'
import { type KubeObject, ownedBy } from './runtime/kube-object.ts'
import { isNamespaceTerminating, statusOf } from './runtime/kube-status.ts'
import type { Outcome } from './runtime/queue.ts'
import { type Problem, pipelineStatus } from './status.ts'
import { type Told, toldOfChildren, toldOfStatus, toldOfWorkloads } from './tell.ts'

export interface ReconcilerOptions {
  readonly pipelines: Cache
  readonly client: KubeClient
  readonly applier: Applier
  readonly observer: Observer
  readonly recorder: EventRecorder
  readonly settings: Settings
  /** Asked before a write that does not go through the applier. */
  readonly mayWrite: () => boolean
  /** What the served CRD lacks, if anything: then nothing but that is told. */
  readonly crdProblem: () => string | undefined
  /** Called for each pipeline that is to be sampled, and with undefined when one is gone. */
  readonly follow: (key: string, pipeline: Pipeline | undefined) => void
  readonly wall: () => number
}

/** How it went to make what a pipeline asks for so. */
interface Pass {
  readonly problems: readonly Problem[]
  /** What kept it from its end: it is tried again, ever later. */
  readonly failure?: unknown
  /** Nothing can be said at this moment: what was read is not known yet, or not so any more. */
  readonly moot?: Outcome
}

/** In whose name replicas are set for the moment between the operator and an HPA. */
const handOverManager = 'anomaly-operator-handover'
/** When to look again for Secrets that were named just now. Their coming brings the key back earlier. */
const unreadMs = 1000
/** When to look again after somebody else changed what was about to be changed. */
const conflictMs = 100

/**
 * Brings one pipeline nearer to its document, from whatever state it is in: reads the document, makes what it asks for so,
 * says in the status how it went. Never waits for anything to happen: whatever changes brings the key back. Where all is as
 * it should be, nothing is read from the API server or written to it.
 */
export function createReconciler(options: ReconcilerOptions) {
  const { client, applier, observer, recorder, settings, mayWrite, crdProblem, follow, wall } = options
  const parsed = new Map<string, { readonly version: string; readonly result: ParsedPipeline }>()

  async function reconcile(key: string, signal: AbortSignal): Promise<Outcome | undefined> {
    const document = options.pipelines.get(key)
    // Its children go with it, by their owner references.
    if (document === undefined || document.metadata.deletionTimestamp !== undefined) return forget(key)

    const parse = parseOnce(key, document)
    const pass = await passOver(key, document, parse, signal)
    if (pass.moot !== undefined) return pass.moot
    let outcome: Outcome | undefined
    try {
      outcome = await say(key, document, parse, pass, signal)
    } catch (error) {
      // What went wrong first is what is told; a pipeline that is gone needs no status.
      if (pass.failure === undefined && statusOf(error)?.code !== 404) throw error
    }
    if (pass.failure !== undefined) throw pass.failure
    return outcome
  }

  async function passOver(
    key: string,
    document: KubeObject,
    { pipeline }: ParsedPipeline,
    signal: AbortSignal,
  ): Promise<Pass> {
    const lacking = crdProblem()
    if (lacking !== undefined) return { problems: [{ reason: 'CrdOutdated', message: lacking, stalled: true }] }
    // What the last valid document asked for keeps running.
    if (pipeline === undefined || isDisabled(document)) return { problems: [] }

    const secrets = observer.secrets(key, pipeline)
    if (secrets === undefined) return { problems: [], moot: { againAfterMs: unreadMs } }
    follow(key, pipeline)
    const problems = unique(roles.flatMap((role) => secrets[role].problem ?? []))
    try {
      const parent: Parent = { pipeline, owner: ownedBy(document) }
      const before = observer.workloads(document)
      const observed = await observer.ofChildren(key, parent, document, secrets, signal)
      for (const role of roles) if (observed.replicas[role].handOver === true) await handOver(before[role]!, signal)
      const result = await applier.sync(document, desired(parent, observed, settings), { signal })
      tell(document, [...toldOfWorkloads(before, observer.workloads(document)), ...toldOfChildren(result)])
      const failures = result.failures.map(({ error }) => error)
      if (failures.some(isNamespaceTerminating)) return { problems, moot: {} }
      return { problems: [...problems, ...failures.map(problemOf)], failure: failures[0] }
    } catch (error) {
      if (isNamespaceTerminating(error)) return { problems, moot: {} }
      if (statusOf(error)?.reason === 'Conflict') return { problems, moot: { againAfterMs: conflictMs } }
      return { problems: [...problems, problemOf(error)], failure: error }
    }
  }

  /** Writes the status if it differs, and tells what is new in it. */
  async function say(
    key: string,
    document: KubeObject,
    { pipeline, issues = [] }: ParsedPipeline,
    { problems }: Pass,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { againAfterMs, ...seen } = await observer.ofStatus(key, document, pipeline, signal)
    const status = pipelineStatus({
      ...seen,
      document,
      pipeline,
      issues: issues.map(({ line }) => line),
      problems,
      disabled: isDisabled(document),
      now: new Date(wall()).toISOString().replace(/\.\d+Z$/, 'Z'),
    })
    if (await applier.applyStatus(pipelines, document, status, { signal }))
      tell(document, toldOfStatus((document.status ?? {}) as PipelineStatus, status))
    return { againAfterMs }
  }

  /** Gives the replicas of a Deployment to another manager at their present value; Conflict if they changed meanwhile. */
  async function handOver({ metadata, spec }: KubeObject, signal: AbortSignal): Promise<void> {
    const { name, namespace = '', resourceVersion = '' } = metadata
    const { replicas } = spec as { replicas: number }
    const { apiVersion, kind } = deployments
    const body = { apiVersion, kind, metadata: { name, namespace, resourceVersion }, spec: { replicas } }
    if (!mayWrite()) return
    await client.apply(deployments, body, { fieldManager: handOverManager, force: true, signal })
  }

  function tell(document: KubeObject, told: readonly Told[]): void {
    for (const { type, reason, message } of told) recorder.record(document, type, reason, message)
  }

  function parseOnce(key: string, document: KubeObject): ParsedPipeline {
    const version = `${document.metadata.uid}/${document.metadata.generation}`
    const known = parsed.get(key)
    if (known?.version === version) return known.result
    const result = checkPipeline(document)
    parsed.set(key, { version, result })
    return result
  }

  function forget(key: string): undefined {
    parsed.delete(key)
    observer.forget(key)
    follow(key, undefined)
  }

  return (key: string, { signal }: { readonly signal: AbortSignal }): Promise<Outcome | undefined> =>
    traced('reconcile', { attributes: { 'anomaly.pipeline': key } }, () => reconcile(key, signal))
}

const isDisabled = ({ metadata }: KubeObject): boolean => metadata.annotations?.[reconcileAnnotation] === 'Disabled'

/** One for each Secret, though several workloads read it. */
const unique = (problems: readonly Problem[]): readonly Problem[] => [
  ...new Map(problems.map((problem) => [problem.message, problem])).values(),
]
