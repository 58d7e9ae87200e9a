import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { request, Agent as TlsAgent } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import type { ApiServer } from './api-server.ts'

export const verbs = ['get', 'list', 'watch', 'create', 'update', 'apply', 'patch', 'delete'] as const
export type Verb = (typeof verbs)[number]

/** A request as it was seen on the wire. */
export interface SeenRequest {
  readonly verb: Verb
  /** Path without its query, such as `/api/v1/namespaces/default/configmaps/a`. */
  readonly path: string
  readonly query: URLSearchParams
  /** What was answered; 0 while there is no answer. */
  status: number
}

export type Fault =
  /** Answers with a Status of this code. */
  | { readonly kind: 'status'; readonly code: number; readonly retryAfterSeconds?: number }
  /** Resets the connection. */
  | { readonly kind: 'reset' }
  /** Takes the request and never answers. */
  | { readonly kind: 'silence' }
  /** Sends this in the place of the answer, with code 200. */
  | { readonly kind: 'body'; readonly text: string }

export interface FaultProxy {
  /** `http://127.0.0.1:port`. */
  readonly url: string
  /** Points at the proxy, with the API server's token. */
  readonly kubeConfig: KubeConfig
  /** Every request since `clear`, oldest first. */
  readonly requests: readonly SeenRequest[]
  /** Forgets the requests seen so far. */
  clear(): void
  /** Ends every fault, and forgets. */
  reset(): void
  /** How many requests since `clear` had one of these verbs, and a path that contains `path`. */
  count(verbs: readonly Verb[], path?: string): number
  /** The next `times` requests that match meet the fault in the place of the API server; returns how to end it. */
  fault(fault: Fault, when?: { verbs?: readonly Verb[]; path?: string; query?: string; times?: number }): () => void
  /** Watches that are open now fall silent for good: half-open, as when a load balancer forgot the connection. */
  silenceWatches(): void
  /** Writes text, for example a broken line or an ERROR event, into the watches that are open now. */
  writeIntoWatches(text: string): void
  /** Resets every connection that is open now. */
  cut(): void
  /** Takes connections and says nothing on them until the returned function is called, which resets them. */
  blackhole(): () => void
  stop(): Promise<void>
}

/** A proxy between a client and the API server that counts requests and injects faults. */
export async function startFaultProxy(target: Pick<ApiServer, 'url' | 'token' | 'ca'>): Promise<FaultProxy> {
  const agent = new TlsAgent({ keepAlive: true, ca: target.ca })
  const upstream = new URL(target.url)
  const sockets = new Set<Socket>()
  const watches = new Map<ServerResponse, IncomingMessage>()
  const faults = new Set<{ fault: Fault; verbs: readonly Verb[]; path: string; query: string; left: number }>()
  let requests: SeenRequest[] = []
  let blackhole = false

  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', target.url)
    const seen: SeenRequest = { verb: verbOf(incoming, url), path: url.pathname, query: url.searchParams, status: 0 }
    requests.push(seen)
    if (blackhole) return
    for (const rule of faults) {
      if (!rule.verbs.includes(seen.verb) || !seen.path.includes(rule.path) || !url.search.includes(rule.query))
        continue
      rule.left -= 1
      if (rule.left <= 0) faults.delete(rule)
      answerWith(rule.fault, incoming, outgoing, seen)
      return
    }
    const call = request(
      {
        host: upstream.hostname,
        port: upstream.port,
        method: incoming.method,
        path: incoming.url,
        headers: { ...incoming.headers, host: upstream.host },
        agent,
      },
      (answer) => {
        seen.status = answer.statusCode ?? 0
        outgoing.writeHead(seen.status, answer.headers)
        outgoing.flushHeaders()
        if (seen.verb === 'watch') {
          watches.set(outgoing, answer)
          outgoing.on('close', () => watches.delete(outgoing))
        }
        answer.pipe(outgoing)
        answer.on('error', () => outgoing.destroy())
      },
    )
    call.on('error', () => reset(incoming.socket))
    outgoing.on('close', () => call.destroy())
    incoming.pipe(call)
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromClusterAndUser(
    { name: 'proxy', server: url, skipTLSVerify: true },
    { name: 'admin', token: target.token },
  )

  const cut = (): void => {
    for (const socket of sockets) reset(socket)
  }
  return {
    url,
    kubeConfig,
    get requests() {
      return requests
    },
    clear() {
      requests = []
    },
    reset() {
      faults.clear()
      requests = []
      if (blackhole) cut()
      blackhole = false
    },
    count: (wanted, path = '') =>
      requests.filter((seen) => wanted.includes(seen.verb) && seen.path.includes(path)).length,
    fault(fault, when = {}) {
      const rule = {
        fault,
        verbs: when.verbs ?? verbs,
        path: when.path ?? '',
        query: when.query ?? '',
        left: when.times ?? Number.POSITIVE_INFINITY,
      }
      faults.add(rule)
      return () => faults.delete(rule)
    },
    silenceWatches() {
      for (const [outgoing, answer] of watches) {
        answer.unpipe(outgoing)
        answer.resume()
      }
    },
    writeIntoWatches(text) {
      for (const outgoing of watches.keys()) outgoing.write(text)
    },
    cut,
    blackhole() {
      blackhole = true
      for (const [outgoing, answer] of watches) answer.unpipe(outgoing)
      return () => {
        blackhole = false
        cut()
      }
    },
    async stop() {
      agent.destroy()
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** A socket that is ending already cannot be reset: libuv refuses, and Node keeps its handle for good. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else if (!socket.destroyed) socket.resetAndDestroy()
}

/** What the API server calls each code. */
const reasons: Readonly<Record<number, string>> = {
  403: 'Forbidden',
  409: 'Conflict',
  410: 'Expired',
  429: 'TooManyRequests',
}

function answerWith(fault: Fault, incoming: IncomingMessage, outgoing: ServerResponse, seen: SeenRequest): void {
  switch (fault.kind) {
    case 'reset':
      reset(incoming.socket)
      return
    case 'silence':
      incoming.resume()
      return
    case 'body':
      seen.status = 200
      incoming.resume()
      outgoing.writeHead(200, { 'content-type': 'application/json' }).end(fault.text)
      return
    case 'status': {
      seen.status = fault.code
      incoming.resume()
      const reason = reasons[fault.code] ?? 'InternalError'
      const status = {
        kind: 'Status',
        apiVersion: 'v1',
        status: 'Failure',
        code: fault.code,
        reason,
        message: 'injected',
      }
      const retry = fault.retryAfterSeconds === undefined ? {} : { 'retry-after': String(fault.retryAfterSeconds) }
      outgoing.writeHead(fault.code, { 'content-type': 'application/json', ...retry }).end(JSON.stringify(status))
    }
  }
}

function verbOf(incoming: IncomingMessage, url: URL): Verb {
  switch (incoming.method) {
    case 'POST':
      return 'create'
    case 'PUT':
      return 'update'
    case 'DELETE':
      return 'delete'
    case 'PATCH':
      return incoming.headers['content-type']?.startsWith('application/apply-patch') === true ? 'apply' : 'patch'
    default: {
      if (url.searchParams.get('watch') === 'true' || url.searchParams.get('watch') === '1') return 'watch'
      const [, root, ...rest] = url.pathname.split('/')
      const inGroup = rest.slice(root === 'api' ? 1 : 2)
      const resource = inGroup[0] === 'namespaces' && inGroup.length > 2 ? inGroup.slice(2) : inGroup
      return resource.length === 1 ? 'list' : 'get'
    }
  }
}
