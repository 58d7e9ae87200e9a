import { resolveModelNames, resolveScaling } from '../../lib/pipeline/resolve-pipeline.ts'
import { type Pipeline, type Role, roles } from '../../lib/pipeline/spec.ts'
import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import type { SourceSample } from '../lag/lag-sampler.ts'
import type { PodReports } from '../pods/pod-reports.ts'
import type { Problem, Reason } from '../problem.ts'
import type { MoveState } from '../redis/redis-move.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { type ComponentState, describeComponent } from './component-state.ts'

/** The conditions of a pipeline, a function each: values in, a value out. */

type Condition = NonNullable<PipelineStatus['conditions']>[number]
export type Verdict = Reason & { readonly status: Condition['status'] }

export const disabledVerdict: Verdict = {
  status: 'Unknown',
  reason: 'ReconcileDisabled',
  message: 'The annotation anomaly.com/reconcile is Disabled: the operator changes nothing',
}

export function readiness(blocking: Problem | undefined, isPaused: boolean): Verdict {
  if (blocking !== undefined) return { status: 'False', reason: blocking.reason, message: blocking.message }
  return isPaused
    ? { status: 'True', reason: 'Paused', message: 'Paused as asked for: no workload runs' }
    : { status: 'True', reason: 'AllReady', message: 'All components are ready' }
}

export function availability(
  states: readonly ComponentState[],
  isPaused: boolean,
  problems: readonly Problem[],
  former: Verdict | undefined,
): Verdict {
  if (isPaused) return { status: 'False', reason: 'Paused', message: 'Paused as asked for' }
  const moving = problems.find(({ reason }) => reason === 'MovingState')
  if (moving !== undefined) return { status: 'False', reason: moving.reason, message: moving.message }
  if (states.length === 0 && former !== undefined) return former
  // Verdicts come without the recorder as well.
  const without = states
    .filter(({ component }) => component !== 'recorder')
    .filter(({ ready, desired, exists }) => ready === 0 && (desired > 0 || !exists))
    .map(({ component }) => component)
  if (states.length === 0 || without.length > 0)
    return { status: 'False', reason: 'NotServing', message: `No pod is ready of: ${without.join(', ') || 'any'}` }
  return { status: 'True', reason: 'Serving', message: 'Each component that verdicts need has a pod that is ready' }
}

export function progress(
  isDisabled: boolean,
  states: readonly ComponentState[],
  blocking: Problem | undefined,
): Verdict {
  if (isDisabled) return { ...disabledVerdict, status: 'False' }
  if (blocking?.stalled === true) return { status: 'False', reason: blocking.reason, message: blocking.message }
  if (blocking?.reason === 'MovingState') return { status: 'True', reason: blocking.reason, message: blocking.message }
  const rolling = states.filter(({ isServing }) => !isServing)
  const scaling = states.filter(({ isServing, isComplete }) => isServing && !isComplete)
  const told = (some: readonly ComponentState[]) => some.map((state) => describeComponent(state)).join('; ')
  if (rolling.length > 0) return { status: 'True', reason: 'RollingOut', message: told([...rolling, ...scaling]) }
  if (scaling.length > 0) return { status: 'True', reason: 'Scaling', message: told(scaling) }
  if (blocking?.reason === 'TopicMissing')
    return { status: 'True', reason: 'CreatingTopics', message: blocking.message }
  return { status: 'False', reason: 'Complete', message: 'Nothing is rolling out' }
}

export interface Validity {
  /** A line for each thing that is wrong with the document. */
  readonly issues: readonly string[]
  /** A line for each thing that is allowed, and hardly meant. */
  readonly warnings: readonly string[]
  readonly problems: readonly Problem[]
}

export function validity({ issues, warnings, problems }: Validity): Verdict {
  const keeps = 'What the last valid document asked for keeps running.'
  const invalid = (reason: string, lines: readonly string[]): Verdict => ({
    status: 'False',
    reason,
    message: `${lines.join('\n')}\n${keeps}`.slice(0, 32_768),
  })
  if (issues.length > 0) return invalid('InvalidSpec', issues)
  // Parts of it are handed on as they are: what they may say the API server knows.
  const refused = problems.filter(({ isOfDocument }) => isOfDocument === true)
  if (refused.length > 0)
    return invalid(
      'Refused',
      refused.map(({ message }) => message),
    )
  return warnings.length === 0
    ? { status: 'True', reason: 'Valid', message: 'The document is valid' }
    : { status: 'True', reason: 'ValidWithWarnings', message: warnings.join('\n').slice(0, 32_768) }
}

export function reachability(source: SourceSample | undefined, isPaused: boolean): Verdict {
  if (source === undefined || isPaused)
    return { status: 'Unknown', reason: isPaused ? 'Paused' : 'NotSampled', message: 'The topic was not looked at' }
  if (source.problem !== undefined) return { status: 'False', ...source.problem }
  return { status: 'True', reason: 'Reachable', message: `The topic has ${source.partitions} partitions` }
}

export function modelReadiness(pipeline: Pipeline | undefined, { model }: PodReports): Verdict {
  const needsModel = pipeline !== undefined && resolveModelNames(pipeline.spec.detection).length > 0
  if (pipeline !== undefined && !needsModel)
    return { status: 'True', reason: 'NoModelNeeded', message: 'No detector of the pipeline needs a model' }
  if (model === undefined)
    return { status: 'Unknown', reason: 'NotSeen', message: 'No inference pod has told of its model yet' }
  if (model === null)
    return { status: 'False', reason: 'Learning', message: 'The first model is learning; profiles and rules decide' }
  return { status: 'True', reason: 'ModelLoaded', message: `Model ${model.version} scores` }
}

/** Whether what was learnt is in the Redis that the document names; absent where it was never asked to move. */
export function stateMoved(move: MoveState | null, former: Verdict | undefined): Verdict | undefined {
  if (move !== null) return { status: 'False', reason: move.phase, message: move.message }
  if (former === undefined) return undefined
  return { status: 'True', reason: 'Moved', message: 'What was learnt is in the Redis that the document names' }
}

const notAsked = (isPaused: boolean): Verdict => ({
  status: 'Unknown',
  reason: isPaused ? 'Paused' : 'NotSeen',
  message: isPaused ? 'Paused as asked for: no pod runs that could tell' : 'No pod has told yet',
})

/** Whether the store of profiles and models answers, by what the pods say. */
export function stateReachability({ state }: PodReports, isPaused: boolean): Verdict {
  if (isPaused || state === undefined) return notAsked(isPaused)
  return state.problem === undefined
    ? { status: 'True', reason: 'Reachable', message: 'The pods reach the store of what was learnt' }
    : { status: 'False', reason: 'StateUnavailable', message: state.problem }
}

/** Whether it works otherwise than it should, by what the pods say. */
export function degradation({ degradations }: PodReports, isPaused: boolean): Verdict {
  if (isPaused || degradations === undefined) return notAsked(isPaused)
  const [first] = degradations
  if (first === undefined) return { status: 'False', reason: 'AsExpected', message: 'The pods report nothing amiss' }
  return { status: 'True', reason: first.reason, message: degradations.map(({ message }) => message).join('\n') }
}

/** Undefined where no workload is scaled automatically. */
export function scalingActivity(pipeline: Pipeline, autoscalers: readonly KubeObject[]): Verdict | undefined {
  const wanted = roles.filter((role) => isScaledByOperator(pipeline, role))
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

function isScaledByOperator({ spec }: Pipeline, role: Role): boolean {
  const scaling = resolveScaling(spec, role)
  return scaling.type === 'autoscaling' && scaling.mode !== 'External'
}
