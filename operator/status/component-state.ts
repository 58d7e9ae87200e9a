import { resolveRedis, resolveRoles, resolveScaling } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline, Role } from '../../lib/pipeline/spec.ts'
import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import type { Component } from '../desired/child.ts'
import type { PodReports } from '../pods/pod-reports.ts'
import { type Waiting, waitingReasonOf } from '../pods/waiting-pod.ts'
import type { Reason } from '../problem.ts'
import type { KubeObject } from '../runtime/kube-object.ts'

type ComponentStatus = NonNullable<NonNullable<PipelineStatus['components']>[Component]>

/** The workloads of a pipeline, as far as they exist. */
export type Workloads = Partial<Readonly<Record<Component, KubeObject>>>
export type Pods = Partial<Readonly<Record<Component, readonly KubeObject[]>>>

/** How a component is. */
export interface ComponentState extends ComponentStatus {
  readonly component: Component
  readonly ready: number
  readonly desired: number
  /** All pods run the present template, are ready, and no other is left. */
  readonly isComplete: boolean
  /** It is complete, or it has as many pods as it must have and more are on their way, or fewer. */
  readonly isServing: boolean
  readonly isStuck: boolean
  readonly exists: boolean
}

export interface ComponentsInput {
  readonly workloads: Workloads
  readonly pods: Pods
  /** Why the StatefulSet has no pod, or its pod no volume, as far as their events say. */
  readonly refusal?: Waiting | undefined
  readonly reports?: PodReports | undefined
  /** RFC 3339. */
  readonly now: string
  /** What does not heal by itself is left so much time to do so all the same. */
  readonly patienceMs?: number | undefined
}

/** How each component is, in the order in which one needs the other: the first that is not ready is why others are not. */
export function componentStates(pipeline: Pipeline, input: ComponentsInput): readonly ComponentState[] {
  const present: readonly Component[] = [
    ...(resolveRedis(pipeline).type === 'managed' ? (['redis'] as const) : []),
    ...inOrder.filter((role) => resolveRoles(pipeline.spec).includes(role)),
  ]
  return present.map((component) => componentState(component, pipeline, input))
}

const inOrder: readonly Role[] = ['inference', 'consumer', 'api', 'recorder']

interface WorkloadStatus {
  readonly observedGeneration?: number
  readonly replicas?: number
  readonly readyReplicas?: number
  readonly updatedReplicas?: number
  readonly currentRevision?: string
  readonly updateRevision?: string
  readonly conditions?: readonly (Reason & {
    readonly type: string
    readonly status: string
    readonly lastTransitionTime?: string
  })[]
}

function componentState(component: Component, pipeline: Pipeline, input: ComponentsInput): ComponentState {
  const { patienceMs = 90_000 } = input
  const workload = input.workloads[component]
  const { replicas: desired = 0 } = (workload?.spec ?? {}) as { replicas?: number }
  const status = (workload?.status ?? {}) as WorkloadStatus
  const total = status.replicas ?? 0
  const ready = status.readyReplicas ?? 0
  // A StatefulSet forgets this number when a roll-out has ended.
  const isSettled = status.updateRevision !== undefined && status.updateRevision === status.currentRevision
  const updated = isSettled ? total : (status.updatedReplicas ?? 0)
  const isObserved = workload !== undefined && hasSeen(workload)
  const isComplete = isObserved && [total, ready, updated].every((count) => count === desired)
  const waiting = isComplete || workload === undefined ? undefined : waitingOf(component, workload, input)
  const waitedMs = waiting?.since === undefined ? undefined : Date.parse(input.now) - Date.parse(waiting.since)
  const isOld = waiting?.isRepeated === true || (waitedMs !== undefined && waitedMs >= patienceMs)
  const isNew = waitedMs !== undefined && !isOld
  const least = leastReplicas(component, pipeline)
  const servesEnough =
    least !== undefined && isObserved && updated === total && ready > 0 && ready >= Math.min(least, desired)
  return {
    component,
    exists: workload !== undefined,
    desired,
    updated,
    ready,
    summary: `${ready}/${desired}`,
    ...(waiting === undefined ? {} : { reason: waiting.reason.slice(0, 256), message: waiting.message.slice(0, 1024) }),
    isComplete,
    isServing: isComplete || (servesEnough && (waiting === undefined || isNew)),
    isStuck: !isComplete && (isLate(status) || (waiting?.needsPerson === true && isOld)),
  }
}

/** Fewest pods that serve what is asked for, where an autoscaler says how many there are. */
function leastReplicas(component: Component, { spec }: Pipeline): number | undefined {
  if (component === 'redis') return undefined
  const scaling = resolveScaling(spec, component)
  return scaling.type === 'autoscaling' ? scaling.minReplicas : undefined
}

const isLate = ({ conditions = [] }: WorkloadStatus): boolean =>
  conditions.some(({ type, reason }) => type === 'Progressing' && reason === 'ProgressDeadlineExceeded')

/** Why a workload is not as it should be: what its pods say, else what its controller says. */
function waitingOf(component: Component, workload: KubeObject, input: ComponentsInput): Waiting | undefined {
  const pods = input.pods[component] ?? []
  const refusal = component === 'redis' ? input.refusal : undefined
  const { conditions = [] } = (workload.status ?? {}) as WorkloadStatus
  const condition = (type: string) => conditions.find((one) => one.type === type)
  const refused = condition('ReplicaFailure')
  const progress = condition('Progressing')
  if (refusal?.reason === 'ProvisioningFailed') return refusal
  const waiting = waitingReasonOf(pods, input.reports?.unready)
  if (waiting !== undefined) return waiting
  if (refused?.status === 'True') return { ...refused, since: refused.lastTransitionTime, needsPerson: true }
  // Late, or held by `kubectl rollout pause`.
  if (progress !== undefined && progress.status !== 'True')
    return { ...progress, since: progress.lastTransitionTime, needsPerson: true }
  if (lacksPods(workload, pods)) return refusal ?? noPods(workload)
  return pods.length > 0 && pods.every(({ metadata }) => metadata.deletionTimestamp) ? leaving(pods) : undefined
}

/** Whether its controller has seen the workload as it is now. */
export function hasSeen({ metadata, status }: KubeObject): boolean {
  return ((status as WorkloadStatus | undefined)?.observedGeneration ?? 0) >= (metadata.generation ?? 0)
}

/** Whether its controller could make none of the pods: something refuses them, such as a quota or an admission policy. */
export function lacksPods(workload: KubeObject, pods: readonly KubeObject[]): boolean {
  const { replicas: desired = 0 } = (workload.spec ?? {}) as { replicas?: number }
  const { replicas = 0 } = (workload.status ?? {}) as WorkloadStatus
  return hasSeen(workload) && desired > 0 && replicas === 0 && pods.length === 0
}

function noPods({ kind, metadata: { name, namespace } }: KubeObject): Waiting {
  const message = `there is no pod of it; kubectl describe ${kind.toLowerCase()} ${name} -n ${namespace} says what refuses it`
  return { reason: 'NoPods', message, needsPerson: false }
}

/** A StatefulSet makes no other pod before the former is gone, and on a node that is lost none ever goes. */
function leaving([pod]: readonly KubeObject[]): Waiting {
  const { name, deletionTimestamp } = pod!.metadata
  return {
    reason: 'Terminating',
    message: `pod ${name} should be gone by ${deletionTimestamp}; where it stays, look at its node`,
    since: deletionTimestamp,
    needsPerson: true,
  }
}

/** In a line. */
export function describeComponent({ component, exists, ready, desired, reason, message }: ComponentState): string {
  if (!exists) return `${component}: not created yet`
  const why = reason === undefined ? 'rolling out' : `${reason}: ${message ?? ''}`
  return `${component}: ${ready} of ${desired} ready: ${why}`
}

/** What the status shows of it. */
export function shownComponent({
  component,
  exists: _,
  isComplete: __,
  isServing: ____,
  isStuck: ___,
  ...status
}: ComponentState): [Component, ComponentStatus] {
  return [component, status]
}
