import type { Reason } from '../problem.ts'
import type { KubeObject } from '../runtime/kube-object.ts'

interface PodStatus {
  readonly phase?: string
  readonly reason?: string
  readonly message?: string
  readonly conditions?: readonly { type: string; status: string; reason?: string; message?: string }[]
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
}

/** What every pod goes through for a moment. */
const passing = new Set(['ContainerCreating', 'PodInitializing'])

/** Why one of the pods is not ready. Pods that ended, such as evicted ones, stay for a while: others say more. */
export function waitingReasonOf(pods: readonly KubeObject[]): Reason | undefined {
  const ended = (pod: KubeObject) => (pod.status as PodStatus | undefined)?.phase === 'Failed'
  const first = (some: readonly KubeObject[]) => some.map(waitingReason).find((reason) => reason !== undefined)
  return first(pods.filter((pod) => !ended(pod))) ?? first(pods.filter(ended))
}

/** Why the pod is not ready, as far as that is a problem and not just a matter of moments. */
export function waitingReason(pod: KubeObject): Reason | undefined {
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
    return { reason: 'ProbeFailing', message: ready.message || 'its readiness probe fails' }
  return undefined
}

function withEnd(message: string, end: Terminated | undefined): string {
  if (end === undefined) return message
  // The last lines of its log, of which the very last says why it gave up.
  const last = end.message?.trim().split('\n').at(-1)
  const said = last ? `: ${last}` : ''
  return `${message} (it ended with ${end.reason ?? 'Error'}, exit code ${end.exitCode ?? '?'}${said})`
}
