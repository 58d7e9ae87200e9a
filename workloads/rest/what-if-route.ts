import type { Express, RequestHandler } from 'express'
import { AppError } from '../../lib/errors.ts'
import type { DetectionSpec, PipelineSpec } from '../../lib/pipeline/spec.ts'
import type { Episode } from '../detection/episode.ts'
import type { Verdict } from '../detection/verdict.ts'
import { WhatIf, type WhatIfAnswer } from '../detection/what-if.ts'
import type { History } from '../history/history.ts'
import { parametersOf } from './history-routes.ts'
import { sendJson } from './respond.ts'

/** Of events and budgets that are tried, and of episodes that are named of each kind. */
export const whatIfLimits = { events: 500_000, perMillion: 100_000, episodes: 50 } as const
const mostWaiting = 8
const longestMs = 30_000
/** Where not one of so many events is ordinary, the ordinary ones are not kept. */
const fewestOrdinary = 20

export interface WhatIfRoute {
  readonly history: History
  /** As events are judged at present. */
  readonly spec: () => Pick<PipelineSpec, 'detection' | 'event'>
  readonly guards: readonly RequestHandler[]
  readonly allowOnly: (...methods: string[]) => RequestHandler
}

/** What another alert budget would have made of the past: one question at a time, since each reads much of the history. */
export function addWhatIfRoute(app: Express, { history, spec, guards, allowOnly }: WhatIfRoute): void {
  const inTurn = createTurns()

  async function answer(perMillion: number, from: number, to: number, signal: AbortSignal) {
    const whatIf = new WhatIf({ spec: spec(), perMillion, from })
    const end = Date.now() + longestMs
    let [events, ordinary] = [0, 0]
    // As long a time before prepares the decision.
    for await (const portion of history.decided({ from: 2 * from - to, to, limit: whatIfLimits.events })) {
      if (signal.aborted) return undefined
      if (Date.now() > end)
        throw new AppError('DeadlineExceeded', 'what-if: the history is read too slowly; ask for less')
      for (const event of portion) {
        whatIf.add(event)
        if (!event.isAnomaly) ordinary++
      }
      events += portion.length
    }
    if (events >= fewestOrdinary && ordinary === 0)
      throw new AppError(
        'Conflict',
        'what-if: the history keeps alerts only (keep: Alerts), and so does not know what else would have been one',
      )
    return { ...(await withReasons(whatIf.answer)), yaml: yamlOf(perMillion, spec().detection) }
  }

  /** Episodes as a reader wants them: the most important, with the reasons of their peaks. */
  async function withReasons({ come, go, ...figures }: WhatIfAnswer) {
    const told = (episodes: readonly Episode[]) =>
      Promise.all(
        episodes.slice(0, whatIfLimits.episodes).map(async (episode) => {
          const json = await history.result(episode.peakEventId)
          return { ...episode, reasons: json === undefined ? [] : (JSON.parse(json) as Verdict).reasons }
        }),
      )
    return {
      ...figures,
      come: { count: come.length, episodes: await told(come) },
      go: { count: go.length, episodes: await told(go) },
    }
  }

  app
    .route('/api/v1/what-if')
    .get(...guards, async (request, response) => {
      const given = parametersOf(request)
      const [from, to] = [given.time('from'), given.time('to')]
      const perMillion = given.count('budget', 0, whatIfLimits.perMillion)
      if (perMillion === 0)
        throw new AppError('InvalidArgument', 'budget: how many events per million may alert, from 1')
      if (from === undefined || to === undefined || to <= from)
        throw new AppError('InvalidArgument', 'from and to: both are needed, and to must be after from')
      const left = new AbortController()
      response.once('close', () => left.abort())
      const found = await inTurn(() => answer(perMillion, from, to, left.signal))
      if (found !== undefined) sendJson(response, 200, JSON.stringify({ budgetPerMillion: perMillion, ...found }))
    })
    .all(allowOnly('GET', 'HEAD'))
}

/** What to put into the document, in the words that it has already. */
function yamlOf(perMillion: number, { alertBudget, threshold }: DetectionSpec): string {
  const mode = alertBudget?.mode === undefined ? '' : `, mode: ${alertBudget.mode}`
  const budget =
    alertBudget === undefined
      ? `alertBudgetPerMillion: ${perMillion}`
      : `alertBudget: {perMillion: ${perMillion}${mode}}`
  const instead = threshold === undefined ? '' : '   # instead of threshold'
  return `spec:\n  detection:\n    ${budget}${instead}\n`
}

function createTurns() {
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (waiting >= mostWaiting) throw new AppError('Unavailable', 'what-if: others ask already; ask again later')
    waiting++
    const mine = last.then(work)
    last = mine.catch(() => {})
    return mine.finally(() => waiting--)
  }
}
