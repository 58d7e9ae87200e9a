import { resolveRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { redisOf } from '../desired/pipeline-file.ts'
import { lastWords, waitingReasonOf } from '../pods/waiting-pod.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { hasSeen, type Pods, type Workloads } from '../status/component-state.ts'

/** The pipeline as it runs: by its document, but for the Redis, while what was learnt is in another one still. */
export function presentOf(wanted: Pipeline, file: KubeObject | undefined): Pipeline {
  const redis = redisOf(file)
  if (redis === undefined) return wanted
  const present: Pipeline = { ...wanted, spec: { ...wanted.spec, state: { ...wanted.spec.state, redis } } }
  const [is, shall] = [resolveRedis(present), resolveRedis(wanted)]
  const isElsewhere =
    is.type !== shall.type || (is.type === 'external' && shall.type === 'external' && is.keyPrefix !== shall.keyPrefix)
  return isElsewhere ? present : wanted
}

/** Of the two, the one with a Redis that the operator runs, if any: it runs for both. */
export const managedOf = (present: Pipeline, wanted: Pipeline): Pipeline | undefined =>
  [present, wanted].find((one) => resolveRedis(one).type === 'managed')

/** How far a move has come. Until it is done, the pipeline keeps the Redis that it has. */
export type MovePhase = 'Paused' | 'Preparing' | 'Stopping' | 'Copying' | 'CopyFailed' | 'Done'

export interface MoveState {
  readonly phase: MovePhase
  readonly message: string
}

export interface MoveInput {
  readonly present: Pipeline
  readonly wanted: Pipeline
  readonly workloads: Workloads
  readonly pods: Pods
  /** The Job for this very copy, where there is one, and the pods of all such Jobs. */
  readonly job?: KubeObject | undefined
  readonly copyPods: readonly KubeObject[]
  /** What of Secrets is missing for the other Redis. */
  readonly lacking?: string | undefined
}

/** Those that write to Redis. */
export const writers = ['consumer', 'inference', 'api'] as const

/** Where a move is: values in, a value out. */
export function moveState(input: MoveInput): MoveState {
  const { present, wanted, workloads, pods, job, copyPods, lacking } = input
  const [from, to] = [present, wanted].map((one) => resolveRedis(one).type)
  const what = `What was learnt moves from the ${from} Redis to the ${to} one`
  const is = (phase: MovePhase, now: string): MoveState => ({ phase, message: `${what}: ${now}` })

  const copying = () => is('Copying', `it is copied${saying(waitingReasonOf(copyPods)?.message)}`)
  if (job !== undefined) {
    if (has(job, 'Failed'))
      return is(
        'CopyFailed',
        `the copy failed, and the pipeline goes on with the ${from} one${saying(lastWords(copyPods) ?? has(job, 'Failed')?.message)}. Another document or Secret, or the annotation anomaly.com/restart-at, begins it again`,
      )
    return has(job, 'Complete') && !copyPods.some(isActive) ? is('Done', 'it is there') : copying()
  }
  if (wanted.spec.desiredState === 'Paused') return is('Paused', 'it goes on when the pipeline does')
  if (lacking !== undefined) return is('Preparing', lacking)
  const redis = workloads.redis
  if (to === 'managed' && (redis === undefined || !isReady(redis)))
    return is('Preparing', `the new one is not ready yet${saying(waitingReasonOf(pods.redis ?? [])?.message)}`)
  const isWriting = writers.some((role) => {
    const workload = workloads[role]
    return (workload !== undefined && !isStopped(workload)) || (pods[role] ?? []).some(isActive)
  })
  return isWriting ? is('Stopping', 'the pods that write there end') : copying()
}

const saying = (message: string | undefined): string => (message === undefined ? '' : `: ${message}`)

interface Status {
  readonly phase?: string
  readonly replicas?: number
  readonly readyReplicas?: number
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[]
}
const statusOf = ({ status }: KubeObject): Status => (status ?? {}) as Status
const replicasOf = ({ spec }: KubeObject): number => (spec as { readonly replicas?: number }).replicas ?? 1

const has = (job: KubeObject, type: 'Complete' | 'Failed') =>
  statusOf(job).conditions?.find((one) => one.type === type && one.status === 'True')
const isActive = (pod: KubeObject): boolean => !['Succeeded', 'Failed'].includes(statusOf(pod).phase ?? '')
const isStopped = (workload: KubeObject): boolean =>
  replicasOf(workload) === 0 && hasSeen(workload) && (statusOf(workload).replicas ?? 0) === 0
const isReady = (workload: KubeObject): boolean =>
  hasSeen(workload) && replicasOf(workload) > 0 && (statusOf(workload).readyReplicas ?? 0) >= replicasOf(workload)
