import * as z from 'zod'
import { resolveRoles } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Flow, RejectedBy } from '../judging/flow-meter.ts'
import type { ComponentHealth, Health } from '../rest/door.ts'
import { type Overview, planIn } from '../rest/overview.ts'
import { type PeerRole, type PeerStatus, peerRoles } from './peers.ts'

const amount = z.number().nonnegative()
const count = amount.catch(0)
const words = z.string().optional().catch(undefined)
/** Of what a consumer says what is shown; what it does not say counts for nothing. */
const consumerStatus = z.object({
  ...{ events: count, alerts: count, rejected: count, openEpisodes: count, keys: count },
  // Fewer than none where episodes became part of another.
  episodes: z.number().catch(0),
  lag: z.record(z.string(), count).catch({}),
  flow: z
    .object({
      eventsPerSecond: amount,
      latencyMs: z.object({ median: amount, p95: amount }).optional(),
      rejected: z.array(z.object({ reason: z.string(), count: amount })),
    })
    .catch({ eventsPerSecond: 0, rejected: [] }),
  ...{ kafka: words, redis: words, record: words },
})
type ConsumerStatus = z.output<typeof consumerStatus>
const recorderStatus = z.object({
  history: z
    .object({ problem: words, lag: z.record(z.string(), z.object({ records: count })).catch({}) })
    .optional()
    .catch(undefined),
})
type RecorderStatus = z.output<typeof recorderStatus>
const inferenceStatus = z.object({ modelVersion: words, modelFitTime: words })

export interface PipelineOverviewOptions {
  readonly pipeline: Pipeline
  /** As the API sees the servers that it needs. */
  readonly health: Health
  readonly takesFeedback: boolean
}

/** What the processes of a pipeline say of themselves, as one: values in, a value out. */
export function pipelineOverview(statuses: readonly PeerStatus[], options: PipelineOverviewOptions): Overview {
  const { pipeline, health, takesFeedback } = options
  const of = (role: PeerRole) => statuses.filter((one) => one.role === role).map(({ status }) => status)
  const consumers = of('consumer').flatMap((status) => consumerStatus.safeParse(status).data ?? [])
  const models = of('inference').flatMap((status) => inferenceStatus.safeParse(status).data ?? [])
  const sum = (field: 'events' | 'alerts' | 'rejected' | 'openEpisodes' | 'keys' | 'episodes') =>
    consumers.reduce((total, status) => total + status[field], 0)
  const model = models.find(({ modelFitTime }) => modelFitTime !== undefined) ?? models[0]
  const recorders = of('recorder').flatMap((status) => recorderStatus.safeParse(status).data ?? [])
  const components = {
    ...health.components,
    consumers: healthOf(
      consumers.flatMap((status) => [status.kafka, status.redis, status.record]),
      consumers.length,
    ),
    ...(resolveRoles(pipeline.spec).includes('recorder') ? { recorder: recording(recorders) } : {}),
  }
  const isWhole = Object.values(components).every(({ status }) => status === 'UP')
  return {
    ...planIn(pipeline),
    lastHour: { events: sum('events'), alerts: sum('alerts'), episodes: sum('episodes'), rejected: sum('rejected') },
    openEpisodes: sum('openEpisodes'),
    takesFeedback,
    keys: sum('keys'),
    modelVersion: model?.modelVersion ?? health.modelVersion ?? '',
    modelFitTime: model?.modelFitTime,
    ...flowOf(consumers),
    waiting: consumers.flatMap(({ lag }) => Object.values(lag)).reduce((total, lag) => total + lag, 0),
    processes: Object.fromEntries(peerRoles.map((role) => [role, of(role).length]).filter(([, found]) => found !== 0)),
    health: { ...health, status: health.status === 'UP' && !isWhole ? 'DEGRADED' : health.status, components },
  }
}

/** Rates add up; of times those of the slowest are told. */
function flowOf(consumers: readonly ConsumerStatus[]): Flow {
  const latencies = consumers.flatMap(({ flow }) => flow.latencyMs ?? [])
  const most = (field: 'median' | 'p95') => Math.max(...latencies.map((latency) => latency[field]))
  const rejected = new Map<string, RejectedBy>()
  for (const { reason, count: more } of consumers.flatMap(({ flow }) => flow.rejected))
    rejected.set(reason, { reason, count: (rejected.get(reason)?.count ?? 0) + more })
  return {
    eventsPerSecond: consumers.reduce((total, { flow }) => total + flow.eventsPerSecond, 0),
    latencyMs: latencies.length === 0 ? undefined : { median: most('median'), p95: most('p95') },
    rejected: [...rejected.values()].sort((a, b) => b.count - a.count),
  }
}

function recording(recorders: readonly RecorderStatus[]): ComponentHealth {
  const health = healthOf(
    recorders.map(({ history }) => history?.problem),
    recorders.length,
  )
  const behind = recorders.flatMap(({ history }) => Object.values(history?.lag ?? {}))
  const waiting = behind.reduce((total, { records }) => total + records, 0)
  return { ...health, details: { ...health.details, ...(behind.length === 0 ? {} : { waiting }) } }
}

/** By what processes say that lack nothing where they say `ok`. */
function healthOf(said: readonly (string | undefined)[], answering: number): ComponentHealth {
  const problem = answering === 0 ? 'none answers' : said.find((one) => one !== undefined && one !== '' && one !== 'ok')
  return problem === undefined ? { status: 'UP' } : { status: 'DOWN', details: { problem } }
}
