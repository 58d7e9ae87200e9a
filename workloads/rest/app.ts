import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import express, { type RequestHandler } from 'express'
import type { Registry } from 'prom-client'
import { createByteBudget } from '../../lib/byte-budget.ts'
import type { Logger } from '../../lib/log.ts'
import type { DetectionSpec, EventMapping } from '../../lib/pipeline/spec.ts'
import { extract } from '../../lib/telemetry.ts'
import { within } from '../../lib/time.ts'
import { traceFields } from '../../lib/tracing.ts'
import type { History } from '../history/history.ts'
import { addConsoleRoutes } from './console-routes.ts'
import { DetectError, type DetectionDoor } from './door.ts'
import { batchAnswer, parseBatch } from './event-batch.ts'
import { createEventStream } from './event-stream.ts'
import { addFeedbackRoute } from './feedback-route.ts'
import { addHistoryRoutes } from './history-routes.ts'
import type { LiveEvents } from './live-events.ts'
import { openapi } from './openapi.ts'
import { addOverviewRoute, type Overview } from './overview.ts'
import { problemOfError } from './problem.ts'
import { mediaType, parseJson, withText } from './request-body.ts'
import { send, sendJson, sendProblem, sendRefusal } from './respond.ts'
import type { SignIn } from './sign-in.ts'
import { addWhatIfRoute } from './what-if-route.ts'

/** `bodiesBytes`: of all bodies that are being read or worked on at once. */
export const apiLimits = {
  eventBytes: 2 ** 20,
  batchBytes: 8 * 2 ** 20,
  batchEvents: 10_000,
  bodiesBytes: 48 * 2 ** 20,
} as const

/** Calls `next`, or answers. As Express's handlers, of what node:http gives. */
export type Guard = (request: IncomingMessage, response: ServerResponse, next: () => void) => void

export interface AppOptions {
  readonly log: Logger
  readonly registry: Registry
  /** The pipeline's fields, for the description of an event. */
  readonly event: EventMapping
  readonly live: LiveEvents
  /** What was judged before; without it only recent verdicts are known. */
  readonly history?: History | undefined
  /** What the pipeline is doing; with it the console is served. */
  readonly overview?: (() => Overview | Promise<Overview>) | undefined
  /** By which events are judged now; with a history, another budget can be tried on the past. */
  readonly detection?: (() => DetectionSpec) | undefined
  /** Lets a request for or with verdicts through, or answers it. Health, metrics and the description are always open. */
  readonly authenticate?: Guard | undefined
  /** Where a browser gets its token; without it whoever looks at the console is asked for one. */
  readonly signIn?: (() => Promise<SignIn>) | undefined
  /** Whether feedback is taken from anyone, where nobody is asked for a token. */
  readonly openFeedback?: boolean | undefined
  /** How long the door may take; then 504. */
  readonly timeoutMs?: number | undefined
}

const detectPath = '/api/v1/detect'
const json = 'application/json'
const ndjson = 'application/x-ndjson'

/** The REST routes before a door. Each error is a problem+json of RFC 9457. */
export function createApp(door: DetectionDoor, options: AppOptions): RequestListener {
  const { log, registry, event, live, history, overview, detection, authenticate, timeoutMs = 10_000 } = options
  const budget = createByteBudget(apiLimits.bodiesBytes)
  const guards = authenticate === undefined ? [] : [authenticate]
  const description = JSON.stringify(
    openapi(event, apiLimits, {
      bearer: authenticate !== undefined,
      history: history !== undefined,
      overview: overview !== undefined,
    }),
  )
  const app = express()
  app.disable('x-powered-by')
  app.use(identify)

  async function detect(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const limits = { limit: apiLimits.eventBytes, budget }
    const refusal = await withText(request, [json], limits, (text) => detectText(text, request, response))
    if (refusal !== undefined) sendRefusal(request, response, refusal)
  }

  async function detectText(text: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parsed = parseJson(text)
    if ('reason' in parsed) return sendRefusal(request, response, parsed)
    const [outcome] = await inTime(timeoutMs, door.detect([{ text, value: parsed.value }], { trace: traceOf(request) }))
    if (outcome!.kind === 'failed') throw outcome!.error
    if (outcome!.kind === 'rejected') return sendRefusal(request, response, outcome!)
    if (outcome!.replayed) response.setHeader('Idempotent-Replayed', 'true')
    sendJson(response, 200, outcome!.json)
  }
  async function detectBatch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const limits = { limit: apiLimits.batchBytes, budget }
    const refusal = await withText(request, [json, ndjson], limits, (text) => detectTexts(text, request, response))
    if (refusal !== undefined) sendRefusal(request, response, refusal)
  }

  async function detectTexts(text: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const type = mediaType(request.headers['content-type']!)
    const batch = parseBatch(text, type === ndjson ? 'ndjson' : 'json', apiLimits.batchEvents)
    if ('reason' in batch) return sendRefusal(request, response, batch)
    const outcomes = await inTime(timeoutMs, door.detect(batch.bodies, { trace: traceOf(request) }))
    const failures = outcomes.filter((outcome) => outcome.kind === 'failed').map(({ error }) => error)
    if (failures.length > 0 && failures.length === outcomes.length) throw worstOf(failures)
    for (const error of failures) if (problemOfError(error).status === 500) report(error, response)
    const verdicts = outcomes.filter((outcome) => outcome.kind === 'verdict')
    if (verdicts.length > 0 && verdicts.every((verdict) => verdict.replayed))
      response.setHeader('Idempotent-Replayed', 'true')
    send(response, 200, type, batchAnswer(batch, outcomes))
  }

  app
    .route(detectPath)
    .post(...guards, detect)
    .all(allowOnly('POST'))

  app
    .route('/api/v1/detect/batch')
    .post(...guards, detectBatch)
    .all(allowOnly('POST'))

  app
    .route('/api/v1/results/:eventId')
    .get(...guards, async (request, response) => {
      const { eventId } = request.params
      const verdict = (await inTime(timeoutMs, door.result(eventId))) ?? (await history?.result(eventId))
      if (verdict !== undefined) return sendJson(response, 200, verdict)
      const message = `There is no verdict of the event ${JSON.stringify(eventId)}, or no longer`
      sendRefusal(request, response, { reason: 'NotFound', message })
    })
    .all(allowOnly('GET', 'HEAD'))

  if (history !== undefined) addHistoryRoutes(app, { history, guards, allowOnly })
  if (history !== undefined && detection !== undefined)
    addWhatIfRoute(app, { history, spec: () => ({ event, detection: detection() }), guards, allowOnly })
  if (overview !== undefined) {
    addOverviewRoute(app, { overview, history, guards, allowOnly })
    addConsoleRoutes(app, allowOnly, options.signIn)
  }
  addFeedbackRoute(app, {
    take: door.feedback && ((said) => inTime(timeoutMs, door.feedback!(said))),
    list: door.said && ((query, page) => inTime(timeoutMs, door.said!(query, page))),
    isOpen: authenticate !== undefined || options.openFeedback === true,
    limits: { limit: apiLimits.eventBytes, budget },
    guards,
    allowOnly,
  })

  const streamEvents = createEventStream(live)
  app
    .route('/api/v1/stream')
    .get(...guards, (request, response) => {
      const only = new URLSearchParams(request.url.split('?')[1]).getAll('only')
      return streamEvents(request, response, { only })
    })
    .all(allowOnly('GET', 'HEAD'))

  const openRoute = (path: string, handler: RequestHandler) =>
    app.route(path).get(handler).all(allowOnly('GET', 'HEAD'))
  openRoute('/api/v1/health', (_, response) => {
    const health = door.health()
    sendJson(response, health.status === 'DOWN' ? 503 : 200, JSON.stringify(health))
  })
  openRoute('/openapi.json', (_, response) => sendJson(response, 200, description))
  openRoute('/actuator/health', (_, response) => {
    const down = door.health().status === 'DOWN'
    sendJson(response, down ? 503 : 200, down ? '{"status":"DOWN"}' : '{"status":"UP"}')
  })
  openRoute('/actuator/prometheus', async (_, response) => {
    send(response, 200, registry.contentType, await registry.metrics())
  })

  app.use((request, response) => {
    sendRefusal(request, response, { reason: 'NotFound', message: `There is no ${request.path}; see /openapi.json` })
  })
  app.use(answerError)
  function report(error: unknown, response: ServerResponse): void {
    const trace = traceFields(traceOf(response.req))
    log.error({ error, requestId: response.getHeader('X-Request-Id'), ...trace }, 'request failed')
  }
  // Express takes four parameters for the mark of a handler of errors.
  function answerError(error: unknown, request: IncomingMessage, response: ServerResponse, _next?: unknown): void {
    if (response.destroyed) return
    if (response.headersSent) return void response.destroy()
    const problem = problemOfError(error)
    if (problem.status === 500) report(error, response)
    sendProblem(request, response, problem)
  }

  // Nearly every request is one of these; Express's router adds a quarter to what reading and answering it cost.
  return (request, response) => {
    if (request.url !== detectPath || request.method !== 'POST') return app(request, response)
    const go = () => void detect(request, response).catch((error) => answerError(error, request, response))
    identify(request, response, () => (authenticate === undefined ? go() : authenticate(request, response, go)))
  }
}

const traceOf = (request: IncomingMessage) => extract((name) => request.headers[name])

/** The caller's own id of the request, or a new one, is on every answer. */
const identify: Guard = (request, response, next) => {
  const given = request.headers['x-request-id']
  const valid = typeof given === 'string' && /^[\x21-\x7e]{1,128}$/.test(given)
  response.setHeader('X-Request-Id', valid ? given : randomUUID())
  next()
}

function allowOnly(...methods: string[]): RequestHandler {
  const allow = [...methods, 'OPTIONS'].join(', ')
  return (request, response) => {
    response.setHeader('Allow', allow)
    if (request.method === 'OPTIONS') return void response.writeHead(204).end()
    sendRefusal(request, response, {
      reason: 'MethodNotAllowed',
      message: `${request.path} answers ${allow}, not ${request.method}`,
    })
  }
}

/** Of a batch of which no event was answered: one of which nothing is known hides what is known of others. */
function worstOf(failures: readonly unknown[]): unknown {
  return failures.find((error) => error instanceof DetectError && error.stored === 'Unknown') ?? failures[0]
}

/** The work's result within the time. Late work goes on: an event that is on its way to Kafka cannot be called back. */
function inTime<T>(ms: number, work: Promise<T>): Promise<T> {
  const message = `There was no answer within ${ms / 1000} s`
  return within(ms, work, () => new DetectError('Unknown', message, { code: 'DeadlineExceeded' }))
}
