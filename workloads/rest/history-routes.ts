import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Express, RequestHandler } from 'express'
import { AppError } from '../../lib/errors.ts'
import type { Episode } from '../detection/episode.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { EpisodeQuery, History, Page, VerdictQuery } from '../history/history.ts'
import { csvHeader, csvRow } from './history-csv.ts'
import { sendJson, sendRefusal } from './respond.ts'

export interface HistoryRoutes {
  readonly history: History
  readonly guards: readonly RequestHandler[]
  /** Answers every method but these. */
  readonly allowOnly: (...methods: string[]) => RequestHandler
}

export const historyLimits = { page: 1000, points: 2000, lanes: 100 } as const
const usualPage = 100
/** Of an export. */
const portion = 1000

/** Routes that look back; each answers with a page, and those with a `format` with all that matches. */
export function addHistoryRoutes(app: Express, { history, guards, allowOnly }: HistoryRoutes): void {
  const get = (path: string, handler: RequestHandler) =>
    app
      .route(path)
      .get(...guards, handler)
      .all(allowOnly('GET', 'HEAD'))

  get('/api/v1/results', async (request, response) => {
    const given = parametersOf(request)
    const query: VerdictQuery = {
      key: given.text('key'),
      from: given.time('from'),
      to: given.time('to'),
      anomalies: given.choice('anomalies', ['true', 'false']) === 'true',
      reason: given.text('reason'),
    }
    const format = given.choice('format', ['json', 'ndjson', 'csv']) ?? 'json'
    const page = (cursor: string | undefined, limit: number) => history.results(query, { limit, cursor })
    if (format === 'ndjson') return exportAll(response, 'application/x-ndjson', '', page, (json) => `${json}\n`)
    if (format === 'csv')
      return exportAll(response, 'text/csv; charset=utf-8', csvHeader, page, (json) =>
        csvRow(JSON.parse(json) as Verdict),
      )
    const { items, next } = await page(given.text('cursor'), given.count('limit', usualPage, historyLimits.page))
    sendJson(response, 200, `{"results":[${items.join(',')}],"next":${JSON.stringify(next ?? null)}}`)
  })

  get('/api/v1/results/:eventId/event', async (request, response) => {
    const { eventId } = request.params as { eventId: string }
    const event = await history.event(eventId)
    if (event !== undefined) return sendJson(response, 200, event)
    notFound(request, response, `The event ${JSON.stringify(eventId)} is not kept: only those that stand out are`)
  })

  get('/api/v1/episodes', async (request, response) => {
    const given = parametersOf(request)
    const query: EpisodeQuery = {
      key: given.text('key'),
      from: given.time('from'),
      to: given.time('to'),
      state: given.choice('state', ['Open', 'Closed']),
    }
    const format = given.choice('format', ['json', 'ndjson']) ?? 'json'
    const page = (cursor: string | undefined, limit: number) => history.episodes(query, { limit, cursor })
    if (format === 'ndjson')
      return exportAll(response, 'application/x-ndjson', '', page, (one: Episode) => `${JSON.stringify(one)}\n`)
    const { items, next } = await page(given.text('cursor'), given.count('limit', usualPage, historyLimits.page))
    sendJson(response, 200, JSON.stringify({ episodes: items, next: next ?? null }))
  })

  get('/api/v1/episodes/:episodeId', async (request, response) => {
    const { episodeId } = request.params as { episodeId: string }
    const episode = await history.episode(episodeId)
    if (episode !== undefined) return sendJson(response, 200, JSON.stringify(episode))
    notFound(request, response, `There is no episode ${JSON.stringify(episodeId)}, or no longer`)
  })

  get('/api/v1/keys', async (request, response) => {
    const given = parametersOf(request)
    const [from, to] = [given.time('from'), given.time('to')]
    if (from === undefined || to === undefined || to <= from)
      throw new AppError('InvalidArgument', 'from and to: both are needed, and to must be after from')
    const lanes = await history.lanes({
      from,
      to,
      buckets: given.count('buckets', 60, historyLimits.points),
      limit: given.count('limit', 10, historyLimits.lanes),
      offset: given.count('offset', 0, 1_000_000),
    })
    sendJson(response, 200, JSON.stringify({ keys: lanes }))
  })

  get('/api/v1/keys/:key/series', async (request, response) => {
    const { key } = request.params as { key: string }
    const given = parametersOf(request)
    const [from, to] = [given.time('from'), given.time('to')]
    const points = given.count('points', 500, historyLimits.points)
    const series = await history.series(key, {
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      points: Math.max(1, points),
    })
    sendJson(response, 200, JSON.stringify({ key, points: series }))
  })
}

function notFound(request: IncomingMessage, response: ServerResponse, message: string): void {
  sendRefusal(request, response, { reason: 'NotFound', message })
}

/** All pages, one after the other; it waits for a client that is slow. */
async function exportAll<Item>(
  response: ServerResponse,
  type: string,
  head: string,
  page: (cursor: string | undefined, limit: number) => Promise<Page<Item>>,
  line: (item: Item) => string,
): Promise<void> {
  let { items, next } = await page(undefined, portion)
  response.writeHead(200, { 'Content-Type': type })
  response.write(head)
  for (;;) {
    const isTaken = response.write(items.map(line).join(''))
    if (next === undefined || response.destroyed) break
    if (!isTaken) await drained(response)
    ;({ items, next } = await page(next, portion))
  }
  response.end()
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      response.off('drain', go)
      response.off('close', go)
      resolve()
    }
    response.once('drain', go)
    response.once('close', go)
  })
}

/** What stands after the path's question mark. @throws AppError InvalidArgument */
export function parametersOf(request: IncomingMessage) {
  const given = new URLSearchParams(request.url!.split('?')[1])
  const fail = (name: string, expected: string): never => {
    throw new AppError('InvalidArgument', `${name}: ${JSON.stringify(given.get(name))} must be ${expected}`)
  }
  const text = (name: string): string | undefined => given.get(name) ?? undefined
  return {
    text,
    time(name: string): number | undefined {
      const value = text(name)
      if (value === undefined) return undefined
      const time = /^\d{1,15}$/.test(value) ? Number(value) : /^\d{4}-/.test(value) ? Date.parse(value) : Number.NaN
      return Number.isNaN(time) ? fail(name, 'milliseconds since 1970, or a time such as 2024-01-31T12:00:00Z') : time
    },
    count(name: string, usual: number, most: number): number {
      const value = text(name)
      if (value === undefined) return usual
      return /^\d{1,7}$/.test(value) && Number(value) <= most ? Number(value) : fail(name, `a number from 0 to ${most}`)
    },
    choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
      const value = text(name)
      if (value === undefined || choices.includes(value as Choice)) return value as Choice | undefined
      return fail(name, choices.join(' or '))
    },
  }
}
