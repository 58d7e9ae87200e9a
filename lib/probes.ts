import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type Metric, Registry } from 'prom-client'
import { messageOf } from './errors.ts'
import { type HttpPart, httpPart } from './http-part.ts'
import { currentTracing } from './tracing.ts'

/** What is wrong, in a few words, or undefined. Looks only at what is known already: it never waits. */
export type Check = () => string | undefined

/** That a loop turns. @param turnedAt by `performance.now()` */
export function turns(turnedAt: () => number, stuckMs = 60_000): Check {
  return () => {
    const ms = performance.now() - turnedAt()
    return ms > stuckMs ? `has not turned for ${Math.round(ms / 1000)} s` : undefined
  }
}

export interface ProbesOptions {
  readonly port?: number | undefined
  readonly host?: string | undefined
  readonly registry: Registry
  /** Aborted when the process stops: from then on it is not ready. */
  readonly stopping: AbortSignal
  /** What a restart would heal, such as a stuck loop; never another server's failure. */
  readonly live?: Readonly<Record<string, Check>> | undefined
  /** What the process needs in order to do its work. */
  readonly ready?: Readonly<Record<string, Check>> | undefined
  /** Answered on /status as JSON, for the operator. */
  readonly status?: (() => unknown) | undefined
}

/**
 * `/livez` and `/readyz` (200 or 503, one line a check as the Kubernetes API server writes them), `/metrics` and
 * `/status` on a port of their own. First part to start and last to stop, so that they answer all the while.
 */
export function createProbes(options: ProbesOptions): HttpPart {
  const { port = 9090, host, registry, stopping, live = {}, ready = {}, status = () => ({}) } = options
  const shutdown: Check = () => (stopping.aborted ? 'the process is stopping' : undefined)
  const routes: Record<string, (response: ServerResponse, request: IncomingMessage) => Promise<void> | void> = {
    '/livez': (response) => answerChecks(response, live),
    '/readyz': (response) => answerChecks(response, { shutdown, ...ready }),
    '/metrics': async (response, request) => {
      const answering = takesExemplars(request) ? openMetricsOf(registry) : registry
      answer(response, 200, answering.contentType, await answering.metrics())
    },
    '/status': (response) => answer(response, 200, 'application/json', `${JSON.stringify(status())}\n`),
  }
  const server = createServer(async (request, response) => {
    const route = routes[request.url!.split('?', 1)[0]!]
    try {
      if (route === undefined) answer(response, 404, text, `not found; there are ${Object.keys(routes).join(' ')}\n`)
      else if (request.method === 'GET' || request.method === 'HEAD') await route(response, request)
      else answer(response.setHeader('Allow', 'GET, HEAD'), 405, text, 'method not allowed\n')
    } catch (error) {
      answer(response, 500, text, `${messageOf(error)}\n`)
    }
  })
  return httpPart(server, { name: 'probes', port, flag: 'probes-port', host, graceMs: 1000 })
}

/** Exemplars name traces, and only OpenMetrics has them: without traces the older format says all there is. */
function takesExemplars({ headers }: IncomingMessage): boolean {
  return currentTracing() !== undefined && /\bapplication\/openmetrics-text\b/.test(headers.accept ?? '')
}

/** The same metrics, in the other format. */
function openMetricsOf(registry: Registry): Registry {
  const open = new Registry()
  open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as typeof open.contentType)
  for (const metric of registry.getMetricsAsArray()) open.registerMetric(metric as unknown as Metric)
  return open
}

const text = 'text/plain; charset=utf-8'

function answerChecks(response: ServerResponse, checks: Readonly<Record<string, Check>>): void {
  const lines: string[] = []
  let failing = 0
  for (const [name, check] of Object.entries(checks)) {
    const problem = outcome(check)
    if (problem !== undefined) failing++
    lines.push(problem === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${problem}\n`)
  }
  answer(response, failing === 0 ? 200 : 503, text, `${lines.join('')}${failing === 0 ? 'ok' : 'failed'}\n`)
}

function outcome(check: Check): string | undefined {
  try {
    return check()
  } catch (error) {
    return messageOf(error)
  }
}

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }).end(body)
}
