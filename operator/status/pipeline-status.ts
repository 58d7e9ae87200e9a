import { resolveDecision, resolveRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { conditionTypes, PipelineStatus } from '../../lib/pipeline/status.ts'
import { isRedisPair } from '../desired/redis.ts'
import type { Bounds } from '../desired/replicas.ts'
import type { SourceSample } from '../lag/lag-sampler.ts'
import type { PodReports } from '../pods/pod-reports.ts'
import type { Problem } from '../problem.ts'
import type { MoveState } from '../redis/redis-move.ts'
import type { RedisRecord } from '../redis/redis-pair.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { backupState } from './backup-state.ts'
import { type ComponentsInput, componentStates, shownComponent } from './component-state.ts'
import {
  availability,
  degradation,
  disabledVerdict,
  modelReadiness,
  progress,
  reachability,
  readiness,
  scalingActivity,
  stateMoved,
  stateReachability,
  type Verdict,
  validity,
} from './conditions.ts'
import { firstProblem } from './first-problem.ts'

export interface StatusInput extends ComponentsInput {
  /** The pipeline as the API server has it. */
  readonly document: KubeObject
  /** Absent if it is invalid. */
  readonly pipeline?: Pipeline | undefined
  /** A line for each thing that is wrong with it. */
  readonly issues: readonly string[]
  /** A line for each thing in it that is allowed, and hardly meant. */
  readonly warnings?: readonly string[] | undefined
  /** What went wrong in this reconcile, the worst first. */
  readonly problems: readonly Problem[]
  readonly disabled: boolean
  readonly autoscalers: readonly KubeObject[]
  readonly source?: SourceSample | undefined
  /** The CronJob that backs Redis up. */
  readonly backupJob?: KubeObject | undefined
  /** Which pod of a managed Redis leads, where it has two. */
  readonly redisRecord?: RedisRecord | undefined
  /** Where what was learnt is on its way to another Redis; null: nowhere; undefined where that was not looked at. */
  readonly move?: MoveState | null | undefined
  /** The bounds of the consumers that the lag asks for, as far as it was looked at. */
  readonly recommended?: Bounds | undefined
}

type ConditionType = (typeof conditionTypes)[number]
type Condition = NonNullable<PipelineStatus['conditions']>[number]

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
  verdicts.set('Ready', input.disabled ? disabledVerdict : readiness(blocking, isPaused))
  verdicts.set('Available', availability(states, isPaused, input.problems, known('Available')))
  const moving = progress(input.disabled, states, blocking)
  verdicts.set('Progressing', moving)
  verdicts.set('SpecValid', validity({ ...input, warnings: input.warnings ?? [] }))
  verdicts.set('SourceReachable', reachability(source, isPaused))
  const model = modelReadiness(pipeline, reports)
  verdicts.set('ModelReady', model.reason === 'NotSeen' ? (known('ModelReady') ?? model) : model)
  const seen = (type: ConditionType, verdict: Verdict) =>
    verdicts.set(type, verdict.reason === 'NotSeen' && input.reports === undefined ? (known(type) ?? verdict) : verdict)
  seen('StateReachable', stateReachability(reports, isPaused))
  seen('Degraded', degradation(reports, isPaused))
  const scaling = pipeline === undefined || isPaused ? undefined : scalingActivity(pipeline, input.autoscalers)
  if (scaling !== undefined) verdicts.set('ScalingActive', scaling)
  // kstatus reads these two, which are there only while they are true.
  if (moving.status === 'True' && moving.reason !== 'Scaling') verdicts.set('Reconciling', moving)
  if (blocking?.stalled === true) verdicts.set('Stalled', { ...blocking, status: 'True' })

  const budget = pipeline === undefined ? undefined : resolveDecision(pipeline.spec.detection)
  const alerts = alertsOf(
    reports.alertsPerMillion === undefined ? previous.alerts?.perMillion : (reports.alertsPerMillion ?? undefined),
    budget?.type === 'alertBudget' ? budget.perMillion : undefined,
    reports.episodes ?? knownEpisodes(previous),
  )
  const modelShown = reports.model === undefined ? previous.model : (reports.model ?? undefined)
  const recordLag = pipeline?.spec.history === undefined ? undefined : (reports.recordLag ?? previous.history?.lag)
  const kept = pipeline === undefined ? previous : {}
  const backup = pipeline === undefined ? undefined : backupState(pipeline, input.backupJob)
  if (backup !== undefined) verdicts.set('BackedUp', backup.verdict)
  const moved = input.move === undefined ? known('StateMoved') : stateMoved(input.move, known('StateMoved'))
  if (moved !== undefined) verdicts.set('StateMoved', moved)
  const pair = pipeline === undefined ? previous.redis : pairOf(pipeline, input.redisRecord)
  const results = pipeline === undefined ? previous.results : resultsOf(pipeline)
  const observedConfig = reports.config ?? previous.observedConfig
  return {
    ...kept,
    observedGeneration: generation,
    ...(observedConfig === undefined ? {} : { observedConfig }),
    conditions: [...verdicts].map(([type, verdict]) => conditionOf(type, verdict, generation, previous, input.now)),
    ...(states.length === 0 ? {} : { components: Object.fromEntries(states.map(shownComponent)) }),
    ...(source === undefined || source.problem !== undefined
      ? previous.source === undefined
        ? {}
        : { source: previous.source }
      : { source: { partitions: source.partitions, lag: source.lag } }),
    ...(results === undefined ? {} : { results }),
    ...(backup?.lastTime === undefined ? {} : { backup: { lastTime: backup.lastTime } }),
    ...(pair === undefined ? {} : { redis: { ...pair } }),
    ...(recommended === undefined ? {} : { scaling: { ...recommended } }),
    ...(recordLag === undefined ? {} : { history: { lag: recordLag } }),
    ...(modelShown === undefined ? {} : { model: modelShown }),
    ...(alerts === undefined ? {} : { alerts }),
  }
}

function pairOf(pipeline: Pipeline, record: RedisRecord | undefined): RedisRecord | undefined {
  const redis = resolveRedis(pipeline)
  return redis.type === 'managed' && isRedisPair(pipeline.metadata.name, redis.replicas, record) ? record : undefined
}

const resultsOf = ({ spec: { results } }: Pipeline): PipelineStatus['results'] => ({
  topic: results.topic,
  deadLetterTopic: results.deadLetterTopic,
})

/** What the former status says of the topic. */
function knownSource({ conditions, source }: PipelineStatus): SourceSample | undefined {
  const before = conditions?.find(({ type }) => type === 'SourceReachable')
  if (before?.status === 'False') return { problem: { reason: before.reason, message: before.message } }
  if (before?.status !== 'True' || source?.partitions === undefined || source.lag === undefined) return undefined
  return { partitions: source.partitions, lag: source.lag }
}

/** Those that the former status tells of. */
function knownEpisodes({ alerts }: PipelineStatus): PodReports['episodes'] {
  if (alerts?.openEpisodes === undefined || alerts.episodesLastHour === undefined) return undefined
  return { open: alerts.openEpisodes, lastHour: alerts.episodesLastHour }
}

function alertsOf(
  perMillion: number | undefined,
  budgetPerMillion: number | undefined,
  episodes: PodReports['episodes'],
): PipelineStatus['alerts'] {
  if (perMillion === undefined && budgetPerMillion === undefined && episodes === undefined) return undefined
  return {
    ...(episodes === undefined ? {} : { openEpisodes: episodes.open, episodesLastHour: episodes.lastHour }),
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
