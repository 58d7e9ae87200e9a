import type { Reason } from '../problem.ts'
import type { KubeObject } from '../runtime/kube-object.ts'

interface PodStatus {
  readonly phase?: string
  readonly reason?: string
  readonly message?: string
  readonly conditions?: readonly {
    readonly type: string
    readonly status: string
    readonly reason?: string
    readonly message?: string
    readonly lastTransitionTime?: string
  }[]
  readonly initContainerStatuses?: readonly ContainerStatus[]
  readonly containerStatuses?: readonly ContainerStatus[]
}

interface ContainerStatus {
  readonly name: string
  readonly ready: boolean
  /** False until its startup probe has succeeded. */
  readonly started?: boolean
  readonly restartCount?: number
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string }
    readonly running?: unknown
    readonly terminated?: Terminated
  }
  readonly lastState?: { readonly terminated?: Terminated }
}

interface Terminated {
  readonly reason?: string
  readonly exitCode?: number
  readonly message?: string
  readonly startedAt?: string
  readonly finishedAt?: string
}

/** What every pod goes through for a moment. */
const passing = new Set(['ContainerCreating', 'PodInitializing'])

/** Why a pod is not there or not ready. */
export interface Waiting extends Reason {
  /** RFC 3339; absent where nothing says so. */
  readonly since?: string | undefined
  /** Whether it does not heal by itself: somebody must change something. */
  readonly needsPerson: boolean
  /** Whether it happened so often already that nothing is left to wait for. */
  readonly isRepeated?: boolean
}

/** What goes on until somebody changes an image, a Secret, a node, a class of volumes, or the program. */
const lasting = new Set([
  'Unschedulable',
  'SchedulingGated',
  'ErrImagePull',
  'ErrImageNeverPull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ImageInspectError',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
  'CrashLoopBackOff',
])
/** Restarts one after the other that are no accident any more. */
const manyRestarts = 3
const shortRunMs = 60_000

/**
 * Why one of the pods is not ready: the clearest reason first, and of equally clear ones that of the newest pod. `unready`
 * is what pods say of that themselves, by name. Pods that ended, such as evicted ones, stay for a while: others say more.
 */
export function waitingReasonOf(
  pods: readonly KubeObject[],
  unready: Readonly<Record<string, string>> = {},
): Waiting | undefined {
  const found = pods.flatMap((pod) => {
    const reason = waitingReason(pod, unready[pod.metadata.name])
    if (reason === undefined) return []
    const created = Date.parse(pod.metadata.creationTimestamp ?? '') || 0
    return [{ pod, reason, vagueness: vaguenessOf(pod, reason), created }]
  })
  const [best] = found.sort((a, b) => a.vagueness - b.vagueness || b.created - a.created)
  if (best === undefined) return undefined
  const { pod, reason } = best
  const isRepeated = crashesAgain(pod)
  return { ...reason, since: sinceOf(pod), needsPerson: lasting.has(reason.reason) || isRepeated, isRepeated }
}

function vaguenessOf({ status, metadata }: KubeObject, { reason, message }: Reason): number {
  if ((status as PodStatus).phase === 'Failed') return 4
  if (lasting.has(reason)) return 0
  if (reason !== 'ProbeFailing') return 1
  return message.startsWith(`${metadata.name}: `) ? 2 : 3
}

export const isUnschedulable = ({ status }: KubeObject): boolean =>
  ((status ?? {}) as PodStatus).conditions?.some(
    ({ type, status: is }) => type === 'PodScheduled' && is === 'False',
  ) === true

/** Since when the pod is not ready. */
function sinceOf({ status, metadata }: KubeObject): string | undefined {
  const { conditions = [] } = (status ?? {}) as PodStatus
  const condition = (type: string) => conditions.find((one) => one.type === type && one.status === 'False')
  return (condition('Ready') ?? condition('PodScheduled'))?.lastTransitionTime ?? metadata.creationTimestamp
}

/** Whether a container of it ended again and again soon after it was started. */
function crashesAgain({ status }: KubeObject): boolean {
  const { containerStatuses = [], initContainerStatuses = [] } = (status ?? {}) as PodStatus
  return [...containerStatuses, ...initContainerStatuses].some(({ ready, restartCount = 0, state, lastState }) => {
    const { exitCode = 0, startedAt, finishedAt } = state?.terminated ?? lastState?.terminated ?? {}
    const ranMs = Date.parse(finishedAt ?? '') - Date.parse(startedAt ?? '')
    return !ready && restartCount >= manyRestarts && exitCode !== 0 && ranMs < shortRunMs
  })
}

/** Why the pod is not ready, as far as that is a problem and not just a matter of moments. `said` is what it says itself. */
export function waitingReason(pod: KubeObject, said?: string): Reason | undefined {
  if (pod.metadata.deletionTimestamp !== undefined) return undefined
  const status = (pod.status ?? {}) as PodStatus
  const conditions = new Map((status.conditions ?? []).map((condition) => [condition.type, condition]))
  const scheduled = conditions.get('PodScheduled')
  if (scheduled?.status === 'False')
    return { reason: scheduled.reason ?? 'Unschedulable', message: scheduled.message ?? 'no node takes it' }
  if (status.phase === 'Failed')
    return { reason: status.reason ?? 'Failed', message: status.message ?? 'the pod failed' }
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]
  for (const container of containers) {
    const { waiting, running, terminated } = container.state ?? {}
    const last = terminated ?? container.lastState?.terminated
    if (waiting?.reason !== undefined && !passing.has(waiting.reason))
      return { reason: waiting.reason, message: withEnd(waiting.message ?? `${container.name} waits`, last) }
    if (terminated !== undefined && terminated.exitCode !== 0)
      return { reason: terminated.reason ?? 'Error', message: withEnd(`${container.name} ended`, terminated) }
    if (running !== undefined && !container.ready && (container.restartCount ?? 0) > 0)
      return { reason: 'Restarting', message: withEnd(`${container.name} was restarted`, last) }
  }
  if (containers.some(({ started, state }) => state?.running !== undefined && started === false)) return undefined
  const ready = conditions.get('Ready')
  if (ready?.status === 'False' && status.phase === 'Running')
    return {
      reason: 'ProbeFailing',
      message: said === undefined ? ready.message || 'its readiness probe fails' : `${pod.metadata.name}: ${said}`,
    }
  return undefined
}

/** What the newest of the pods that failed said last. */
export function lastWords(pods: readonly KubeObject[]): string | undefined {
  const failed = pods.filter(({ status }) => (status as PodStatus | undefined)?.phase === 'Failed')
  const createdAt = ({ metadata }: KubeObject) => Date.parse(metadata.creationTimestamp ?? '') || 0
  const newest = failed.sort((a, b) => createdAt(b) - createdAt(a))[0]
  const { containerStatuses = [], message } = (newest?.status ?? {}) as PodStatus
  return containerStatuses.map(({ state }) => lastLine(state?.terminated)).find((line) => line) ?? message
}

/** The last lines of its log are its message; the very last says why it gave up. */
const lastLine = (end: Terminated | undefined): string | undefined => end?.message?.trim().split('\n').at(-1)

function withEnd(message: string, end: Terminated | undefined): string {
  if (end === undefined) return message
  const last = lastLine(end)
  const said = last ? `: ${last}` : ''
  return `${message} (it ended with ${end.reason ?? 'Error'}, exit code ${end.exitCode ?? '?'}${said})`
}
