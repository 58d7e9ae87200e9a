import { resolveRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import type { Component } from '../desired/child.ts'
import { waitingReasonOf } from '../pods/waiting-pod.ts'
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
  readonly isStuck: boolean
  readonly exists: boolean
}

export interface ComponentsInput {
  readonly workloads: Workloads
  readonly pods: Pods
  /** Why the StatefulSet can make no pod, as far as its events say. */
  readonly refusal?: Reason | undefined
}

/** How each component is, in the order in which one needs the other: the first that is not ready is why others are not. */
export function componentStates(
  pipeline: Pipeline,
  { workloads, pods, refusal }: ComponentsInput,
): readonly ComponentState[] {
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
  isStuck: ___,
  ...status
}: ComponentState): [Component, ComponentStatus] {
  return [component, status]
}
