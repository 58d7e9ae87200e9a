import http from 'node:http'
import https from 'node:https'
import { isDeepStrictEqual } from 'node:util'
import type { KubeConfig } from '@kubernetes/client-node'
import { readBounded } from '../../lib/bounded-body.ts'
import { AppError, messageOf } from '../../lib/errors.ts'
import { type Clock, sleep, systemClock } from '../../lib/time.ts'
import { startDeadline } from './deadline.ts'
import { errorOfStatus } from './kube-status.ts'

export interface KubeClientOptions {
  /** Name of the program, sent as User-Agent. */
  readonly userAgent: string
  readonly clock?: Clock
  readonly random?: () => number
  /** For a call with all its retries; for a watch, until it is accepted. */
  readonly deadlineMs?: number
  /**
   * A call waits for the API server (`Retry-After`) at most this long before it tries again; what would take longer is
   * left to the caller, who holds a worker meanwhile.
   */
  readonly maxRetryAfterMs?: number
}

export interface Call {
  /** Completes "Cannot …". */
  readonly what: string
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly contentType?: string
  readonly signal?: AbortSignal | undefined
}

interface Stream {
  readonly body: AsyncIterable<Buffer>
  /** Puts off the end of the time that is left: for each sign of life. */
  restart(ms: number): void
}

export interface KubeTransport {
  /** The answer of a call that succeeded, within its deadline and after a few retries. */
  send(call: Call): Promise<unknown>
  /** Reads an answer that goes on; `read` is called when it is accepted, which the deadline is for. */
  stream(call: Call, read: (stream: Stream) => Promise<void>): Promise<void>
  /** Closes idle connections. */
  close(): void
}

interface Connection {
  readonly tls: https.AgentOptions
  readonly agent: http.Agent
  readonly headers: http.OutgoingHttpHeaders
  readonly auth: string | null | undefined
  /** When credentials are read again: tokens and certificates rotate. */
  readonly until: number
}

interface Answer {
  readonly status: number
  readonly body: unknown
  readonly retryAfterMs: number | undefined
}

const attempts = 4
const credentialsMs = 10_000
/** A page of a list may be long; whatever says more than this is not listened to. */
const longestAnswer = 64 << 20

/** HTTP to the API server of the cluster that `kubeConfig` names, with its credentials. Errors are AppErrors. */
export function createKubeTransport(kubeConfig: KubeConfig, options: KubeClientOptions): KubeTransport {
  const { clock = systemClock, random = Math.random, deadlineMs = 30_000, maxRetryAfterMs = 2_000 } = options
  const open = createOpener(kubeConfig, options)
  // Each success earns a tenth of a retry: when everything fails, retries do not double the load.
  let retryBudget = 10

  async function once(call: Call, signal: AbortSignal): Promise<Answer> {
    const response = await open(call, signal)
    const status = response.statusCode ?? 0
    const text = (await readBounded(response, longestAnswer, call.what)).toString('utf8')
    return { status, body: parse(text, status), retryAfterMs: retryAfterOf(response) }
  }

  return {
    async send(call) {
      const deadline = startDeadline(clock, deadlineMs, call.signal)
      const { signal } = deadline
      try {
        for (let attempt = 1; ; attempt++) {
          let failure: AppError
          try {
            const answer = await once(call, signal)
            if (answer.status < 300) {
              retryBudget = Math.min(10, retryBudget + 0.1)
              return answer.body
            }
            failure = errorOfStatus(call.what, answer.body, answer.status, answer.retryAfterMs)
            const wait = answer.retryAfterMs
            if (wait === undefined || wait > maxRetryAfterMs || attempt >= attempts) throw failure
            await sleep(wait * (1 + random() / 4), { signal, clock })
            if (signal.aborted) throw failure
          } catch (error) {
            if (error instanceof AppError) throw error
            failure = unreachable(call, error, deadline.isOverdue())
            // A POST may have been carried out; only on a connection that the server had closed before it surely was not.
            const repeatable = call.method !== 'POST' || (error as { reused?: boolean }).reused === true
            if (signal.aborted || !isReset(error) || !repeatable || attempt >= attempts || retryBudget < 1)
              throw failure
            retryBudget -= 1
          }
        }
      } finally {
        deadline.end()
      }
    },
    async stream(call, read) {
      const deadline = startDeadline(clock, deadlineMs, call.signal)
      try {
        const response = await open(call, deadline.signal)
        const status = response.statusCode ?? 0
        if (status !== 200) {
          const text = (await readBounded(response, longestAnswer, call.what)).toString('utf8')
          throw errorOfStatus(call.what, parse(text, status), status, retryAfterOf(response))
        }
        await read({ body: response as AsyncIterable<Buffer>, restart: deadline.restart })
      } catch (error) {
        throw error instanceof AppError ? error : unreachable(call, error, deadline.isOverdue())
      } finally {
        deadline.end()
      }
    },
    close: () => open.close(),
  }
}

/** Sends a request; resolves with the head of the answer. */
type Opener = ((call: Call, signal: AbortSignal) => Promise<http.IncomingMessage>) & { close(): void }

function createOpener(kubeConfig: KubeConfig, { userAgent, clock = systemClock }: KubeClientOptions): Opener {
  const cluster = kubeConfig.getCurrentCluster()
  if (!cluster)
    throw new AppError('InvalidArgument', 'Cannot talk to Kubernetes: the kubeconfig has no current cluster')
  const server = new URL(cluster.server)
  const base = server.pathname.replace(/\/$/, '')
  const transport = server.protocol === 'http:' ? http : https
  let connection: Connection | undefined

  async function connect(): Promise<Connection> {
    if (connection !== undefined && clock.monotonic() < connection.until) return connection
    const given: https.RequestOptions = {}
    await kubeConfig.applyToHTTPSOptions(given)
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = given
    const tls: https.AgentOptions = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername }
    for (const name of Object.keys(tls) as (keyof typeof tls)[]) if (tls[name] === undefined) delete tls[name]
    let agent = connection?.agent
    if (agent === undefined || !isDeepStrictEqual(tls, connection?.tls)) {
      connection?.agent.destroy()
      // The agent that client-node gives opens a connection a call and keeps its first certificate for good; only a
      // proxy needs it. Idle connections close before the API server would, after 90 s.
      const own = { ...tls, keepAlive: true, keepAliveMsecs: 30_000, timeout: 60_000 }
      agent = cluster?.proxyUrl ? (given.agent as http.Agent) : new transport.Agent(own)
    }
    const headers = given.headers as http.OutgoingHttpHeaders | undefined
    connection = { tls, agent, headers: headers ?? {}, auth: given.auth, until: clock.monotonic() + credentialsMs }
    return connection
  }

  async function open(call: Call, signal: AbortSignal): Promise<http.IncomingMessage> {
    const { agent, headers, auth } = await connect()
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body))
    return new Promise((resolve, reject) => {
      const request = transport.request({
        host: server.hostname.replace(/^\[|\]$/g, ''),
        port: server.port || (server.protocol === 'http:' ? 80 : 443),
        method: call.method,
        path: base + call.path,
        agent,
        auth,
        signal,
        headers: {
          ...headers,
          accept: 'application/json',
          'user-agent': userAgent,
          ...(body === undefined
            ? {}
            : { 'content-type': call.contentType ?? 'application/json', 'content-length': body.length }),
        },
      })
      request.on('response', resolve)
      request.on('error', (error) => reject(Object.assign(error, { reused: request.reusedSocket })))
      request.end(body)
    })
  }

  return Object.assign(open, {
    close() {
      connection?.agent.destroy()
      connection = undefined
    },
  })
}

/** The JSON of an answer; of a failed call any text, which becomes the message. */
function parse(text: string, status: number): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (status >= 300) return { message: text.trim().slice(0, 200) || `HTTP ${status}` }
    throw new AppError('Unavailable', 'Cannot read the API server: its answer is not JSON', { cause: error })
  }
}

/** Retry-After in milliseconds; the API server sends whole seconds. */
function retryAfterOf(response: http.IncomingMessage): number | undefined {
  const value = response.headers['retry-after']
  const seconds = value === undefined ? Number.NaN : Number(value)
  return Number.isFinite(seconds) ? Math.max(0, seconds) * 1000 : undefined
}

function unreachable(call: Call, error: unknown, overdue: boolean): AppError {
  if (overdue)
    return new AppError('DeadlineExceeded', `Cannot ${call.what}: the API server does not answer`, { cause: error })
  const aborted = call.signal?.aborted === true
  const why = aborted
    ? `stopped: ${messageOf(call.signal?.reason)}`
    : messageOf(error) || (error as { code?: string }).code
  return new AppError('Unavailable', `Cannot ${call.what}: ${why}`, { cause: error, retriable: !aborted })
}

function isReset(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE', 'ECONNABORTED'].includes((error as { code?: string }).code ?? '')
}
