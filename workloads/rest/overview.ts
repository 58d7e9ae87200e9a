import type { Express, RequestHandler } from 'express'
import { messageOf } from '../../lib/errors.ts'
import { resolveDecision } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { History } from '../history/history.ts'
import type { Flow } from '../judging/flow-meter.ts'
import type { Health } from './door.ts'
import { sendJson } from './respond.ts'

/** What a pipeline is doing at present, for whoever looks at it. */
export interface Overview extends Flow, Plan {
  readonly lastHour: {
    readonly events: number
    readonly alerts: number
    readonly episodes: number
    readonly rejected: number
  }
  readonly openEpisodes: number
  /** Whether what people say of a verdict is taken. */
  readonly takesFeedback: boolean
  readonly keys: number
  readonly modelVersion: string
  /** When the model was fitted, RFC 3339; absent where that is not known. */
  readonly modelFitTime?: string | undefined
  /** Events that came and have no verdict yet. */
  readonly waiting: number
  /** How many processes of each role answer; absent where all of it is one. */
  readonly processes?: Readonly<Record<string, number>> | undefined
  readonly health: Health
}

/** What of it the document says. */
export interface Plan {
  readonly pipeline: string
  /** Where events come from and verdicts go to, in words. */
  readonly source: string
  readonly results: string
  /** Absent where a fixed threshold decides. */
  readonly budgetPerMillion?: number | undefined
  readonly refractorySeconds: number
}

export function planIn({ metadata, spec: { source, results, detection } }: Pipeline): Plan {
  const decision = resolveDecision(detection)
  return {
    pipeline: metadata.name,
    source: source.topic,
    results: results.topic,
    budgetPerMillion: decision.type === 'alertBudget' ? decision.perMillion : undefined,
    refractorySeconds: detection.refractorySeconds,
  }
}

interface Kept {
  readonly span?: Awaited<ReturnType<History['span']>>
  /** Why the history does not answer: the present is told all the same. */
  readonly problem?: string
}

async function keptBy(history: History | undefined): Promise<Kept> {
  try {
    return { span: await history?.span() }
  } catch (error) {
    return { problem: messageOf(error) }
  }
}

function withHistory(health: Health, { problem }: Kept): Health {
  if (problem === undefined) return health
  const components = { ...health.components, history: { status: 'DOWN', details: { problem } } as const }
  return { ...health, status: health.status === 'UP' ? 'DEGRADED' : health.status, components }
}

export interface OverviewRoute {
  readonly overview: () => Overview | Promise<Overview>
  readonly history?: History | undefined
  readonly guards: readonly RequestHandler[]
  /** Answers every method but these. */
  readonly allowOnly: (...methods: string[]) => RequestHandler
}

/** What goes on now, with the time that the past which is kept spans; the console asks this first. */
export function addOverviewRoute(app: Express, { overview, history, guards, allowOnly }: OverviewRoute): void {
  app
    .route('/api/v1/overview')
    .get(...guards, async (_, response) => {
      const [present, kept] = await Promise.all([overview(), keptBy(history)])
      const { first, last } = kept.span ?? { first: Date.now(), last: Date.now() }
      const more = { keepsHistory: history !== undefined, since: first, now: last }
      sendJson(response, 200, JSON.stringify({ ...present, health: withHistory(present.health, kept), ...more }))
    })
    .all(allowOnly('GET', 'HEAD'))
}
