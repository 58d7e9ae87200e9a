import { resolveDetectors, resolveScaling } from '../../lib/pipeline/resolve-pipeline.ts'
import { type Pipeline, roles } from '../../lib/pipeline/spec.ts'
import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import type { SourceSample } from '../lag/lag-sampler.ts'
import type { PodReports } from '../pods/pod-reports.ts'
import type { Problem, Reason } from '../problem.ts'
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
  former: Verdict | undefined,
): Verdict {
  if (isPaused) return { status: 'False', reason: 'Paused', message: 'Paused as asked for' }
  if (states.length === 0 && former !== undefined) return former
  const without = states.filter(({ ready }) => ready === 0).map(({ component }) => component)
  if (states.length === 0 || without.length > 0)
    return { status: 'False', reason: 'NotServing', message: `No pod is ready of: ${without.join(', ') || 'any'}` }
  return { status: 'True', reason: 'Serving', message: 'Each component has a pod that is ready' }
}

export function progress(
  isDisabled: boolean,
  states: readonly ComponentState[],
  blocking: Problem | undefined,
): Verdict {
  if (isDisabled) return { ...disabledVerdict, status: 'False' }
  if (blocking?.stalled === true) return { status: 'False', reason: blocking.reason, message: blocking.message }
  const moving = states.filter(({ isComplete }) => !isComplete)
  if (moving.length > 0)
    return { status: 'True', reason: 'RollingOut', message: moving.map((state) => describeComponent(state)).join('; ') }
  if (blocking?.reason === 'TopicMissing')
    return { status: 'True', reason: 'CreatingTopics', message: blocking.message }
  return { status: 'False', reason: 'Complete', message: 'Nothing is rolling out' }
}

export function validity(issues: readonly string[]): Verdict {
  return issues.length === 0
    ? { status: 'True', reason: 'Valid', message: 'The document is valid' }
    : {
        status: 'False',
        reason: 'InvalidSpec',
        message: `${issues.join('\n')}\nWhat the last valid document asked for keeps running.`.slice(0, 32_768),
      }
}

export function reachability(source: SourceSample | undefined, isPaused: boolean): Verdict {
  if (source === undefined || isPaused)
    return { status: 'Unknown', reason: isPaused ? 'Paused' : 'NotSampled', message: 'The topic was not looked at' }
  if (source.problem !== undefined) return { status: 'False', ...source.problem }
  return { status: 'True', reason: 'Reachable', message: `The topic has ${source.partitions} partitions` }
}

export function modelReadiness(pipeline: Pipeline | undefined, { model }: PodReports): Verdict {
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
export function scalingActivity(pipeline: Pipeline, autoscalers: readonly KubeObject[]): Verdict | undefined {
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
