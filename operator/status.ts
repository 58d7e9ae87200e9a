import { resolveDecision, resolveDetectors, resolveRedis, resolveScaling } from '../lib/pipeline/resolve-pipeline.ts'
import { type Pipeline, roles } from '../lib/pipeline/spec.ts'
import type { conditionTypes, PipelineStatus } from '../lib/pipeline/status.ts'
import type { Component } from './desired/child.ts'
import type { Bounds } from './desired/replicas.ts'
import type { KubeObject } from './runtime/kube-object.ts'
import { type Reason, waitingReasonOf } from './waiting-pod.ts'

/** Something that keeps a pipeline from being as it should. */
export interface Problem extends Reason {
  /** Whether only a person can help. */
  readonly stalled: boolean
}

/** What was last heard of a topic. */
export type SourceSample =
  | { readonly partitions: number; readonly lag: number; readonly problem?: never }
  | { readonly problem: Reason }

/** What the pods of a pipeline said last; absent: nobody said so yet. */
export interface PodReports {
  /** Null while the first one is learning. */
  readonly model?: { readonly version: string; readonly rows?: number; readonly fitTime?: string } | null
  readonly alertsPerMillion?: number
}

export interface StatusInput {
  /** The pipeline as the API server has it. */
  readonly document: KubeObject
  /** Absent if it is invalid. */
  readonly pipeline?: Pipeline | undefined
  /** A line for each thing that is wrong with it. */
  readonly issues: readonly string[]
  /** What went wrong in this reconcile, the worst first. */
  readonly problems: readonly Problem[]
  readonly disabled: boolean
  /** Deployments and the StatefulSet, as they are now. */
  readonly workloads: Partial<Readonly<Record<Component, KubeObject>>>
  readonly pods: Partial<Readonly<Record<Component, readonly KubeObject[]>>>
  /** Why the StatefulSet can make no pod, as far as its events say. */
  readonly refusal?: Reason | undefined
  readonly autoscalers: readonly KubeObject[]
  readonly source?: SourceSample | undefined
  /** The bounds of the consumers that the lag asks for, as far as it was looked at. */
  readonly recommended?: Bounds | undefined
  readonly reports?: PodReports | undefined
  /** RFC 3339. */
  readonly now: string
}

type ConditionType = (typeof conditionTypes)[number]
type Condition = NonNullable<PipelineStatus['conditions']>[number]
type ConditionStatus = Condition['status']
type ComponentStatus = NonNullable<NonNullable<PipelineStatus['components']>[Component]>
type Verdict = Reason & { readonly status: ConditionStatus }

interface ComponentState extends ComponentStatus {
  readonly component: Component
  readonly ready: number
  readonly desired: number
  /** All pods run the present template, are ready, and no other is left. */
  readonly isComplete: boolean
  readonly isStuck: boolean
  readonly exists: boolean
}

/** The status of a pipeline: values in, a value out. Transition times are kept where nothing changed. */
export function pipelineStatus(input: StatusInput): PipelineStatus {
  const { document, pipeline, reports = {}, recommended } = input
  const generation = document.metadata.generation ?? 0
  const previous = (document.status ?? {}) as PipelineStatus
  const isPaused = pipeline?.spec.desiredState === 'Paused'
  // What was seen before a restart of the operator stands until it has been looked at again.
  const known = (type: ConditionType) => previous.conditions?.find((condition) => condition.type === type)
  const source = input.source ?? knownSource(previous)
  const states = pipeline === undefined ? [] : componentStates(pipeline, input)
  const verdicts = new Map<ConditionType, Verdict>()

  const blocking = firstProblem({ ...input, source }, states, isPaused)
  const failing = blocking !== undefined || input.disabled
  const failed: Verdict | undefined = blocking && { status: 'False', ...blocking }
  verdicts.set('Ready', input.disabled ? disabled : (failed ?? whole(isPaused)))
  verdicts.set('Available', availability(states, isPaused, previous))
  const moving = progress(input, states, blocking)
  verdicts.set('Progressing', moving)
  verdicts.set('SpecValid', validity(input.issues))
  verdicts.set('SourceReachable', reachability(source, isPaused))
  const model = modelReadiness(pipeline, reports)
  verdicts.set('ModelReady', model.reason === 'NotSeen' ? (known('ModelReady') ?? model) : model)
  const scaling = pipeline === undefined || isPaused ? undefined : scalingActivity(pipeline, input.autoscalers)
  if (scaling !== undefined) verdicts.set('ScalingActive', scaling)
  // kstatus reads these two, which are there only while they are true.
  if (moving.status === 'True') verdicts.set('Reconciling', moving)
  if (failing && blocking?.stalled === true) verdicts.set('Stalled', { ...blocking, status: 'True' })

  const budget = pipeline === undefined ? undefined : resolveDecision(pipeline.spec.detection)
  const alerts = alertsOf(
    reports.alertsPerMillion ?? previous.alerts?.perMillion,
    budget?.type === 'alertBudget' ? budget.perMillion : undefined,
  )
  const modelShown = reports.model === undefined ? previous.model : (reports.model ?? undefined)
  const kept = pipeline === undefined ? previous : {}
  return {
    ...kept,
    observedGeneration: generation,
    conditions: [...verdicts].map(([type, verdict]) => conditionOf(type, verdict, generation, previous, input.now)),
    ...(states.length === 0 ? {} : { components: Object.fromEntries(states.map(shown)) }),
    ...(source === undefined || source.problem !== undefined
      ? previous.source === undefined
        ? {}
        : { source: previous.source }
      : { source: { partitions: source.partitions, lag: source.lag } }),
    ...(recommended === undefined ? {} : { scaling: { ...recommended } }),
    ...(modelShown === undefined ? {} : { model: modelShown }),
    ...(alerts === undefined ? {} : { alerts }),
  }
}

const disabled: Verdict = {
  status: 'Unknown',
  reason: 'ReconcileDisabled',
  message: 'The annotation anomaly.com/reconcile is Disabled: the operator changes nothing',
}

const whole = (isPaused: boolean): Verdict =>
  isPaused
    ? { status: 'True', reason: 'Paused', message: 'Paused as asked for: no workload runs' }
    : { status: 'True', reason: 'AllReady', message: 'All components are ready' }

/** What the former status says of the topic. */
function knownSource({ conditions, source }: PipelineStatus): SourceSample | undefined {
  const before = conditions?.find(({ type }) => type === 'SourceReachable')
  if (before?.status === 'False') return { problem: { reason: before.reason, message: before.message } }
  if (before?.status !== 'True' || source?.partitions === undefined || source.lag === undefined) return undefined
  return { partitions: source.partitions, lag: source.lag }
}

/** What keeps it from being as it should: the cause before its effects. */
function firstProblem(
  { pipeline, issues, problems, source }: StatusInput,
  states: readonly ComponentState[],
  isPaused: boolean,
): Problem | undefined {
  const limited = (message: string) => message.slice(0, 32_768)
  if (issues.length > 0) return { reason: 'InvalidSpec', message: limited(issues.join('\n')), stalled: true }
  const [problem] = problems
  if (problem !== undefined) return { ...problem, message: limited(problem.message) }
  const lacking = isPaused ? undefined : sourceProblem(source, pipeline)
  const isCause = lacking !== undefined && (lacking.stalled || lacking.reason === 'SourceUnreachable')
  for (const state of states) {
    if (state.isComplete) continue
    if (isCause && waitsForSource(state)) return lacking
    return { reason: `${capitalised(state.component)}NotReady`, message: describe(state), stalled: state.isStuck }
  }
  return lacking
}

function sourceProblem(source: SourceSample | undefined, pipeline: Pipeline | undefined): Problem | undefined {
  if (source?.problem === undefined) return undefined
  const { reason, message } = source.problem
  if (reason !== 'TopicMissing') return { reason: 'SourceUnreachable', message, stalled: false }
  // Else the consumers are about to create it.
  return { reason, message, stalled: pipeline?.spec.source.createTopics.mode === 'Disabled' }
}

/** Whether its pods run and only are not ready, as those that wait for brokers or a topic. */
const waitsForSource = ({ component, reason }: ComponentState): boolean =>
  (component === 'consumer' || component === 'api') && (reason === undefined || reason === 'ProbeFailing')

function describe({ component, exists, ready, desired, reason, message }: ComponentState): string {
  if (!exists) return `${component}: not created yet`
  const why = reason === undefined ? 'rolling out' : `${reason}: ${message ?? ''}`
  return `${component}: ${ready} of ${desired} ready: ${why}`
}

function availability(states: readonly ComponentState[], isPaused: boolean, previous: PipelineStatus): Verdict {
  if (isPaused) return { status: 'False', reason: 'Paused', message: 'Paused as asked for' }
  if (states.length === 0) {
    const before = previous.conditions?.find(({ type }) => type === 'Available')
    if (before !== undefined) return before
  }
  const without = states.filter(({ ready }) => ready === 0).map(({ component }) => component)
  if (states.length === 0 || without.length > 0)
    return { status: 'False', reason: 'NotServing', message: `No pod is ready of: ${without.join(', ') || 'any'}` }
  return { status: 'True', reason: 'Serving', message: 'Each component has a pod that is ready' }
}

function progress(
  { disabled: off }: StatusInput,
  states: readonly ComponentState[],
  blocking: Problem | undefined,
): Verdict {
  if (off) return { ...disabled, status: 'False' }
  if (blocking?.stalled === true) return { status: 'False', reason: blocking.reason, message: blocking.message }
  const moving = states.filter(({ isComplete }) => !isComplete)
  if (moving.length > 0)
    return { status: 'True', reason: 'RollingOut', message: moving.map((state) => describe(state)).join('; ') }
  if (blocking?.reason === 'TopicMissing')
    return { status: 'True', reason: 'CreatingTopics', message: blocking.message }
  return { status: 'False', reason: 'Complete', message: 'Nothing is rolling out' }
}

function validity(issues: readonly string[]): Verdict {
  return issues.length === 0
    ? { status: 'True', reason: 'Valid', message: 'The document is valid' }
    : {
        status: 'False',
        reason: 'InvalidSpec',
        message: `${issues.join('\n')}\nWhat the last valid document asked for keeps running.`.slice(0, 32_768),
      }
}

function reachability(source: SourceSample | undefined, isPaused: boolean): Verdict {
  if (source === undefined || isPaused)
    return { status: 'Unknown', reason: isPaused ? 'Paused' : 'NotSampled', message: 'The topic was not looked at' }
  if (source.problem !== undefined) return { status: 'False', ...source.problem }
  return { status: 'True', reason: 'Reachable', message: `The topic has ${source.partitions} partitions` }
}

function modelReadiness(pipeline: Pipeline | undefined, { model }: PodReports): Verdict {
  const needsModel =
    pipeline !== undefined && resolveDetectors(pipeline.spec.detection).some(({ type }) => type === 'isolationForest')
  if (pipeline !== undefined && !needsModel)
    return { status: 'True', reason: 'NoModelNeeded', message: 'No detector of the pipeline needs a model' }
  if (model === undefined)
    return { status: 'Unknown', reason: 'NotSeen', message: 'No inference pod has told of its model yet' }
  if (model === null)
    return { status: 'False', reason: 'Learning', message: 'The first model is learning; profiles and rules decide' }
  return { status: 'True', reason: 'ModelLoaded', message: `Model ${model.version} scores` }
}

/** Undefined where no workload is scaled automatically. */
function scalingActivity(pipeline: Pipeline, autoscalers: readonly KubeObject[]): Verdict | undefined {
  const wanted = roles.filter((role) => resolveScaling(pipeline.spec, role).type === 'autoscaling')
  if (wanted.length === 0) return undefined
  const said = autoscalers.map(({ metadata, status }) => {
    const { conditions = [] } = (status ?? {}) as { conditions?: readonly (Verdict & { readonly type: string })[] }
    return { name: metadata.name, condition: conditions.find(({ type }) => type === 'ScalingActive') }
  })
  const refused = said.find(({ condition }) => condition?.status === 'False')
  if (refused?.condition !== undefined) {
    const { reason, message } = refused.condition
    return { status: 'False', reason, message: `HorizontalPodAutoscaler ${refused.name}: ${message}` }
  }
  const known = said.filter(({ condition }) => condition?.status === 'True')
  if (known.length < wanted.length)
    return { status: 'Unknown', reason: 'NotSeen', message: 'The autoscalers have not looked at their workloads yet' }
  return { status: 'True', reason: 'ScalingActive', message: `Scaled automatically: ${wanted.join(', ')}` }
}

function componentStates(pipeline: Pipeline, { workloads, pods, refusal }: StatusInput): readonly ComponentState[] {
  // In the order in which one needs the other: the first that is not ready is the reason why others are not.
  const present: readonly Component[] =
    resolveRedis(pipeline).type === 'managed'
      ? ['redis', 'inference', 'consumer', 'api']
      : ['inference', 'consumer', 'api']
  return present.map((component) =>
    componentState(component, workloads[component], pods[component] ?? [], component === 'redis' ? refusal : undefined),
  )
}

interface WorkloadStatus {
  readonly observedGeneration?: number
  readonly replicas?: number
  readonly readyReplicas?: number
  readonly updatedReplicas?: number
  readonly currentRevision?: string
  readonly updateRevision?: string
  readonly conditions?: readonly (Reason & { readonly type: string; readonly status: string })[]
}

function componentState(
  component: Component,
  workload: KubeObject | undefined,
  pods: readonly KubeObject[],
  refusal: Reason | undefined,
): ComponentState {
  const { replicas: desired = 0 } = (workload?.spec ?? {}) as { replicas?: number }
  const status = (workload?.status ?? {}) as WorkloadStatus
  const ready = status.readyReplicas ?? 0
  // A StatefulSet forgets this number when a roll-out has ended.
  const isSettled = status.updateRevision !== undefined && status.updateRevision === status.currentRevision
  const updated = isSettled ? (status.replicas ?? 0) : (status.updatedReplicas ?? 0)
  const isObserved = workload !== undefined && hasSeen(workload)
  const counts = [status.replicas ?? 0, ready, updated]
  const isComplete = isObserved && counts.every((count) => count === desired)
  const conditions = new Map((status.conditions ?? []).map((condition) => [condition.type, condition]))
  const refused = conditions.get('ReplicaFailure')
  const progress = conditions.get('Progressing')
  const isLate = progress?.reason === 'ProgressDeadlineExceeded'
  const waiting = isComplete
    ? undefined
    : (waitingReasonOf(pods) ??
      (refused?.status === 'True' ? refused : undefined) ??
      // Late, or held by `kubectl rollout pause`.
      (progress !== undefined && progress.status !== 'True' ? progress : undefined) ??
      (workload !== undefined && lacksPods(workload, pods) ? (refusal ?? noPods(workload)) : undefined) ??
      (pods.length > 0 && pods.every(({ metadata }) => metadata.deletionTimestamp) ? leaving(pods) : undefined))
  return {
    component,
    exists: workload !== undefined,
    desired,
    updated,
    ready,
    summary: `${ready}/${desired}`,
    ...(waiting === undefined ? {} : { reason: waiting.reason.slice(0, 256), message: waiting.message.slice(0, 1024) }),
    isComplete,
    isStuck: !isComplete && isLate,
  }
}

/** Whether its controller has seen the workload as it is now. */
function hasSeen({ metadata, status }: KubeObject): boolean {
  return ((status as WorkloadStatus | undefined)?.observedGeneration ?? 0) >= (metadata.generation ?? 0)
}

/** Whether its controller could make none of the pods: something refuses them, such as a quota or an admission policy. */
export function lacksPods(workload: KubeObject, pods: readonly KubeObject[]): boolean {
  const { replicas: desired = 0 } = (workload.spec ?? {}) as { replicas?: number }
  const { replicas = 0 } = (workload.status ?? {}) as WorkloadStatus
  return hasSeen(workload) && desired > 0 && replicas === 0 && pods.length === 0
}

function noPods({ kind, metadata: { name, namespace } }: KubeObject): Reason {
  const message = `there is no pod of it; kubectl describe ${kind.toLowerCase()} ${name} -n ${namespace} says what refuses it`
  return { reason: 'NoPods', message }
}

/** A StatefulSet makes no other pod before the former is gone, and on a node that is lost none ever goes. */
function leaving([pod]: readonly KubeObject[]): Reason {
  const { name, deletionTimestamp } = pod!.metadata
  return {
    reason: 'Terminating',
    message: `pod ${name} is to be gone by ${deletionTimestamp}; where it stays, look at its node`,
  }
}

function shown({
  component,
  exists: _,
  isComplete: __,
  isStuck: ___,
  ...status
}: ComponentState): [Component, ComponentStatus] {
  return [component, status]
}

function alertsOf(perMillion: number | undefined, budgetPerMillion: number | undefined): PipelineStatus['alerts'] {
  if (perMillion === undefined && budgetPerMillion === undefined) return undefined
  return {
    ...(perMillion === undefined ? {} : { perMillion }),
    ...(budgetPerMillion === undefined ? {} : { budgetPerMillion }),
    ...(perMillion === undefined ? {} : { summary: `${perMillion}/${budgetPerMillion ?? '-'}` }),
  }
}

function conditionOf(
  type: ConditionType,
  { status, reason, message }: Verdict,
  observedGeneration: number,
  previous: PipelineStatus,
  now: string,
): Condition {
  const before = previous.conditions?.find((condition) => condition.type === type)
  const lastTransitionTime = before?.status === status ? before.lastTransitionTime : now
  return { type, status, observedGeneration, lastTransitionTime, reason, message }
}

const capitalised = (word: string): string => `${word[0]!.toUpperCase()}${word.slice(1)}`
