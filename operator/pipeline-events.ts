import type { PipelineStatus } from '../lib/pipeline/status.ts'
import {
  type Component,
  configurationAnnotation,
  replicasAnnotation,
  restartAnnotation,
  secretsAnnotation,
} from './desired/child.ts'
import type { SyncResult } from './runtime/apply.ts'
import type { EventType } from './runtime/events.ts'
import { describeObject, type KubeObject } from './runtime/kube-object.ts'
import type { Workloads } from './status/component-state.ts'

/** An event of `kubectl describe`: what a person did or must do, and what it led to. */
export interface PipelineEvent {
  readonly type: EventType
  readonly reason: string
  readonly message: string
}

const normal = (reason: string, message: string): PipelineEvent => ({ type: 'Normal', reason, message })

/** The events of a pass over the children: values in, values out. */
export function eventsOfSync({ applied, pruned }: SyncResult): readonly PipelineEvent[] {
  return [
    ...applied
      .filter(({ outcome }) => outcome === 'healed')
      .map(({ object }) => normal('DriftHealed', `${describeObject(object)} was changed by another; set right`)),
    ...pruned.map((object) => normal('Pruned', `${describeObject(object)} is no longer asked for; deleted`)),
  ]
}

/** The events of the workloads that were there before the pass and after it. */
export function eventsOfWorkloads(before: Workloads, after: Workloads): readonly PipelineEvent[] {
  return (Object.keys(before) as Component[]).flatMap((component) => {
    const [was, is] = [before[component], after[component]]
    if (was === undefined || is === undefined || was === is) return []
    return [...eventsOfScaling(component, was, is), ...eventsOfRollOut(component, was, is)]
  })
}

function eventsOfScaling(component: Component, before: KubeObject, after: KubeObject): readonly PipelineEvent[] {
  const [was, is] = [before, after].map(({ metadata }) => metadata.annotations?.[replicasAnnotation])
  if (was === is) return []
  if (is === 'autoscaled')
    return [normal('AutoscalingOn', `${component}: its autoscaler now says how many replicas there are`)]
  if (was === 'autoscaled')
    return [normal('AutoscalingOff', `${component}: the operator now says how many replicas there are`)]
  return []
}

function eventsOfRollOut(component: Component, before: KubeObject, after: KubeObject): readonly PipelineEvent[] {
  const [was, is] = [templateOf(before), templateOf(after)]
  const causes = [
    [configurationAnnotation, 'the document'],
    [secretsAnnotation, 'a Secret'],
    [restartAnnotation, 'restart-at'],
  ] as const
  const changed = causes
    .filter(([name]) => was.metadata?.annotations?.[name] !== is.metadata?.annotations?.[name])
    .map(([, cause]) => cause)
  if (changed.length === 0 && JSON.stringify(was) === JSON.stringify(is)) return []
  const why = changed.length === 0 ? 'their image or template' : changed.join(' and ')
  return [normal('RollingOut', `${component}: the pods are replaced, because ${why} changed`)]
}

/** The events of a status: a new reason of Ready that is good news, or that needs a person. */
export function eventsOfStatus(before: PipelineStatus, after: PipelineStatus): readonly PipelineEvent[] {
  const ready = ({ conditions }: PipelineStatus) => conditions?.find(({ type }) => type === 'Ready')
  const [was, is] = [ready(before), ready(after)]
  if (is === undefined || is.reason === was?.reason) return []
  const needsPerson = after.conditions?.some(({ type }) => type === 'Stalled') === true
  if (needsPerson || is.reason === 'SourceUnreachable')
    return [{ type: 'Warning', reason: is.reason, message: is.message.slice(0, 1024) }]
  return is.status === 'False' ? [] : [normal(is.reason, is.message)]
}

interface Template {
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> }
}

export const templateOf = (workload: KubeObject | undefined): Template =>
  (workload?.spec as { readonly template?: Template } | undefined)?.template ?? {}
