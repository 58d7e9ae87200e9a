import type { conditionTypes, PipelineStatus } from '../lib/pipeline/status.ts'
import {
  type Component,
  configurationAnnotation,
  replicasAnnotation,
  restartAnnotation,
  secretsAnnotation,
} from './desired/child.ts'
import type { EventType } from './runtime/events.ts'
import type { KubeObject } from './runtime/kube-object.ts'
import type { Applied, SyncResult } from './runtime/sync.ts'
import type { Workloads } from './status/component-state.ts'

type ConditionType = (typeof conditionTypes)[number]

/** An event of `kubectl describe`: what a person did or must do, and what it led to. */
export interface PipelineEvent {
  readonly type: EventType
  readonly reason: string
  readonly message: string
}

const warning = (reason: string, message: string): PipelineEvent => ({ type: 'Warning', reason, message })
const normal = (reason: string, message: string): PipelineEvent => ({ type: 'Normal', reason, message })

/** The events of a sync, one for each kind of thing done: values in, values out. */
export function eventsOfSync({ applied, pruned }: SyncResult): readonly PipelineEvent[] {
  const created = applied.flatMap(({ object, outcome }) => (outcome === 'created' ? [object] : []))
  const healed = applied.filter(({ outcome }) => outcome === 'healed')
  return [
    ...(created.length === 0 ? [] : [normal('Created', `${namesOf(created)} created`)]),
    ...(healed.length === 0 ? [] : [normal('DriftHealed', `${healed.map(describeDrift).join('; ')}; set right`)]),
    ...(pruned.length === 0 ? [] : [normal('Pruned', `${namesOf(pruned)} no longer asked for; deleted`)]),
  ]
}

const namesOf = (objects: readonly KubeObject[]): string =>
  objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`).join(', ')

const mostFields = 5

function describeDrift({ object, drift }: Applied): string {
  const { fields = [], managers = [] } = drift ?? {}
  const more = fields.length > mostFields ? ` and ${fields.length - mostFields} more` : ''
  const what = fields.length === 0 ? '' : ` ${fields.slice(0, mostFields).join(', ')}${more}`
  const who = managers.length === 0 ? 'another' : managers.join(' and ')
  return `${object.kind} ${object.metadata.name}:${what} changed by ${who}`
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

/** The events of a status: what is new in it that is good news, or that needs a person. */
export function eventsOfStatus(before: PipelineStatus, after: PipelineStatus): readonly PipelineEvent[] {
  return [
    ...eventsOfReadiness(before, after),
    ...eventsOfDegradation(before, after),
    ...eventsOfCandidate(before, after),
    ...eventsOfRedis(before, after),
    ...eventsOfBackup(before, after),
    ...eventsOfMove(before, after),
  ].map((event) => ({
    ...event,
    message: event.message.slice(0, 1024),
  }))
}

const conditionOf = ({ conditions }: PipelineStatus, type: ConditionType) =>
  conditions?.find((condition) => condition.type === type)

function eventsOfReadiness(before: PipelineStatus, after: PipelineStatus): readonly PipelineEvent[] {
  const [was, is] = [conditionOf(before, 'Ready'), conditionOf(after, 'Ready')]
  const needsPerson = conditionOf(after, 'Stalled') !== undefined
  const isNewlyStalled = needsPerson && conditionOf(before, 'Stalled') === undefined
  if (is === undefined || (is.reason === was?.reason && !isNewlyStalled)) return []
  if (needsPerson || is.reason === 'SourceUnreachable') return [warning(is.reason, is.message)]
  return is.status === 'False' ? [] : [normal(is.reason, is.message)]
}

function eventsOfDegradation(before: PipelineStatus, after: PipelineStatus): readonly PipelineEvent[] {
  const [was, is] = [conditionOf(before, 'Degraded'), conditionOf(after, 'Degraded')]
  if (is?.status === 'True' && is.reason !== was?.reason) return [warning(is.reason, is.message)]
  return is?.status === 'False' && was?.status === 'True' ? [normal('Recovered', `No longer: ${was.reason}`)] : []
}

function eventsOfCandidate(before: PipelineStatus, after: PipelineStatus): readonly PipelineEvent[] {
  const is = after.model?.candidate
  if (is === undefined || is.version === before.model?.candidate?.version) return []
  return is.outcome === 'Refused'
    ? [warning('ModelRefused', `Model ${is.version} does not take over: ${is.message}`)]
    : [warning('ModelForced', `Model ${is.version} took over after several were refused: ${is.message}`)]
}

function eventsOfRedis({ redis: was }: PipelineStatus, { redis: is }: PipelineStatus): readonly PipelineEvent[] {
  if (was?.primary === undefined || is?.primary === undefined || was.primary === is.primary) return []
  return [warning('RedisFailedOver', `redis: ${is.primary} took over from ${was.primary}`)]
}

function eventsOfBackup(before: PipelineStatus, after: PipelineStatus): readonly PipelineEvent[] {
  const [was, is] = [conditionOf(before, 'BackedUp'), conditionOf(after, 'BackedUp')]
  return is?.status === 'False' && is.message !== was?.message ? [warning(is.reason, is.message)] : []
}

function eventsOfMove(before: PipelineStatus, after: PipelineStatus): readonly PipelineEvent[] {
  const [was, is] = [conditionOf(before, 'StateMoved'), conditionOf(after, 'StateMoved')]
  if (is === undefined || is.reason === was?.reason) return []
  // Whoever needs to act on a failed copy hears of it by the condition Ready.
  if (is.reason === 'CopyFailed') return []
  return [normal(is.status === 'True' ? 'StateMoved' : 'MovingState', is.message)]
}

interface Template {
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> }
}

export const templateOf = (workload: KubeObject | undefined): Template =>
  (workload?.spec as { readonly template?: Template } | undefined)?.template ?? {}
