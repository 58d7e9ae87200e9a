import http from 'node:http'
import https from 'node:https'
import { isDeepStrictEqual } from 'node:util'
import type { KubeConfig } from '@kubernetes/client-node'
import { AppError, type ErrorCode, messageOf } from '../../lib/errors.ts'
import { type Clock, sleep, systemClock } from '../../lib/time.ts'
import type { KubeObject, Resource } from './kube-object.ts'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

export interface Selection {
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
}

export interface ListOptions extends Selection, CallOptions {
  /** Most objects in one page. */
  readonly limit?: number | undefined
  /** Token of the page before, for the next. */
  readonly continue?: string | undefined
}

export interface Page {
  readonly items: readonly KubeObject[]
  readonly resourceVersion: string
  /** Present when there is a further page. */
  readonly continue?: string | undefined
}

export interface WatchOptions extends Selection, CallOptions {
  /** Changes after this version are sent. */
  readonly resourceVersion: string
  /** The API server ends the watch after so many seconds. */
  readonly timeoutSeconds: number
  /** The watch is given up after so many milliseconds without a byte. */
  readonly idleTimeoutMs: number
  /** Called once when the API server has accepted the watch. */
  readonly onOpen?: () => void
  /** Called for each event, in order. What it throws ends the watch. */
  readonly onEvent: (event: WatchEvent) => void
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  readonly object: KubeObject
}

export interface ApplyOptions extends CallOptions {
  /** In whose name the fields are set. */
  readonly fieldManager: string
  /** Takes fields over from other managers in the place of failing with a conflict. */
  readonly force?: boolean
  readonly subresource?: string | undefined
}

export interface DeleteOptions extends CallOptions {
  /** Only the object with this uid is deleted: never its successor of the same name. */
  readonly uid?: string | undefined
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
}

/**
 * The API server's API as raw JSON: nothing that this version does not know is lost on the way. Every call ends within
 * its deadline. Errors are AppErrors; `statusOf` gives what the API server said.
 */
export interface KubeClient {
  get(resource: Resource, key: ObjectKey, options?: CallOptions): Promise<KubeObject>
  /** One page, read from the store itself, not from the API server's cache. */
  list(resource: Resource, options?: ListOptions): Promise<Page>
  /** Resolves when the API server ends the watch; rejects when it fails. */
  watch(resource: Resource, options: WatchOptions): Promise<void>
  create(resource: Resource, object: KubeObject, options?: CallOptions): Promise<KubeObject>
  /** Replaces the object; with `metadata.resourceVersion` only if it is still that version, else Conflict. */
  update(resource: Resource, object: KubeObject, options?: CallOptions): Promise<KubeObject>
  /** Server-side apply. */
  apply(resource: Resource, object: KubeObject, options: ApplyOptions): Promise<KubeObject>
  /** JSON merge patch (RFC 7386): null removes a field. */
  patch(
    resource: Resource,
    key: ObjectKey,
    patch: Readonly<Record<string, unknown>>,
    options?: CallOptions & { readonly subresource?: string | undefined },
  ): Promise<KubeObject>
  /** Gives the object where it goes on existing for a while (finalizers, grace), undefined where it is gone at once. */
  delete(resource: Resource, key: ObjectKey, options?: DeleteOptions): Promise<KubeObject | undefined>
  /** Closes idle connections. */
  close(): void
}

export interface ObjectKey {
  readonly namespace?: string | undefined
  readonly name: string
}

/** What the API server said of a call that it refused. */
export interface KubeStatus {
  /** HTTP status. */
  readonly code: number
  /** One word, such as `NotFound`, `AlreadyExists`, `Conflict`, `Expired`, `Invalid`. */
  readonly reason: string
  readonly message: string
  readonly details?: unknown
  /** How long it asks to wait. */
  readonly retryAfterMs?: number | undefined
}

/** What the API server said, where that is why the call failed. */
export function statusOf(error: unknown): KubeStatus | undefined {
  const cause = error instanceof AppError ? (error.cause as Partial<KubeStatus> | undefined) : undefined
  return cause !== undefined && typeof cause.reason === 'string' && typeof cause.code === 'number'
    ? (cause as KubeStatus)
    : undefined
}

/** Whether the API server refused it because the namespace is going: nothing can be made in it any more. */
export function isNamespaceTerminating(error: unknown): boolean {
  const details = statusOf(error)?.details as { readonly causes?: readonly { readonly reason?: string }[] } | undefined
  return details?.causes?.some(({ reason }) => reason === 'NamespaceTerminating') === true
}

/** The error for a Status object, however it came: as an answer or as an event of a watch. */
export function errorOfStatus(what: string, body: unknown, httpCode: number, retryAfterMs?: number): AppError {
  const status = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
  const code = typeof status.code === 'number' && status.code > 0 ? status.code : httpCode
  const reason =
    typeof status.reason === 'string' && status.reason !== '' ? status.reason : (http.STATUS_CODES[code] ?? 'Unknown')
  const message = typeof status.message === 'string' ? status.message : `HTTP ${code}`
  const cause: KubeStatus = { code, reason, message, details: status.details, retryAfterMs }
  return new AppError(codeOf(code), `Cannot ${what}: ${message} (${code} ${reason})`, { cause })
}

function codeOf(code: number): ErrorCode {
  if (code === 404) return 'NotFound'
  if (code === 401 || code === 403) return 'Unauthorized'
  if (code === 409 || code === 410) return 'Conflict'
  if (code === 400 || code === 405 || code === 413 || code === 415 || code === 422) return 'InvalidArgument'
  return 'Unavailable'
}

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

interface Connection {
  readonly tls: https.AgentOptions
  readonly agent: http.Agent
  readonly headers: http.OutgoingHttpHeaders
  readonly auth: string | null | undefined
  /** When credentials are read again: tokens and certificates rotate. */
  readonly until: number
}

interface Call {
  readonly what: string
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly contentType?: string
  readonly signal?: AbortSignal | undefined
}

interface Answer {
  readonly status: number
  readonly body: unknown
  readonly retryAfterMs: number | undefined
}

const attempts = 4
const credentialsMs = 10_000
const longestLine = 32 << 20

/** A client of the cluster that `kubeConfig` names, with its credentials. */
export function createKubeClient(kubeConfig: KubeConfig, options: KubeClientOptions): KubeClient {
  const { userAgent, clock = systemClock, random = Math.random, deadlineMs = 30_000, maxRetryAfterMs = 2_000 } = options
  const cluster = kubeConfig.getCurrentCluster()
  if (!cluster)
    throw new AppError('InvalidArgument', 'Cannot talk to Kubernetes: the kubeconfig has no current cluster')
  const server = new URL(cluster.server)
  const base = server.pathname.replace(/\/$/, '')
  const transport = server.protocol === 'http:' ? http : https
  // Each success earns a tenth of a retry: when everything fails, retries do not double the load.
  let retryBudget = 10
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

  /** Sends the request; resolves with the head of the answer. */
  async function open(
    call: Call,
    signal: AbortSignal,
  ): Promise<{ response: http.IncomingMessage; request: http.ClientRequest }> {
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
      request.on('response', (response) => resolve({ response, request }))
      request.on('error', (error) => reject(Object.assign(error, { reused: request.reusedSocket })))
      request.end(body)
    })
  }

  async function once(call: Call, signal: AbortSignal): Promise<Answer> {
    const { response } = await open(call, signal)
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const status = response.statusCode ?? 0
    return { status, body: parse(text, status), retryAfterMs: retryAfterOf(response) }
  }

  /** The answer of a call that succeeded. */
  async function send(call: Call): Promise<unknown> {
    const timed = deadline(clock, deadlineMs, call.signal)
    try {
      for (let attempt = 1; ; attempt++) {
        let failure: AppError
        try {
          const answer = await once(call, timed.signal)
          if (answer.status < 300) {
            retryBudget = Math.min(10, retryBudget + 0.1)
            return answer.body
          }
          failure = errorOfStatus(call.what, answer.body, answer.status, answer.retryAfterMs)
          const wait = answer.retryAfterMs
          if (wait === undefined || wait > maxRetryAfterMs || attempt >= attempts) throw failure
          await sleep(wait * (1 + random() / 4), { signal: timed.signal, clock })
          if (timed.signal.aborted) throw failure
        } catch (error) {
          if (error instanceof AppError) throw error
          failure = unreachable(call, error, timed.overdue())
          // A POST may have been carried out; only on a connection that the server had closed before it surely was not.
          const repeatable = call.method !== 'POST' || (error as { reused?: boolean }).reused === true
          if (timed.signal.aborted || !isReset(error) || !repeatable || attempt >= attempts || retryBudget < 1)
            throw failure
          retryBudget -= 1
        }
      }
    } finally {
      timed.end()
    }
  }

  return {
    get: async (resource, key, { signal } = {}) =>
      (await send({
        what: `get ${resource.kind} ${nameOf(key)}`,
        method: 'GET',
        path: objectPath(resource, key),
        signal,
      })) as KubeObject,

    async list(resource, listOptions = {}) {
      const { limit, continue: token, signal } = listOptions
      const query = { ...selectors(listOptions), limit, continue: token }
      const path = collectionPath(resource, listOptions.namespace) + queryOf(query)
      const body = (await send({ what: `list ${resource.plural}`, method: 'GET', path, signal })) as Partial<{
        items: KubeObject[] | null
        metadata: { resourceVersion?: string; continue?: string }
      }>
      if (typeof body.metadata?.resourceVersion !== 'string') {
        throw new AppError('Unavailable', `Cannot list ${resource.plural}: the answer is not a list`)
      }
      // Items of a list come without the two words that every other answer has.
      const items = (body.items ?? []).map((item) => ({
        ...item,
        apiVersion: resource.apiVersion,
        kind: resource.kind,
      }))
      return { items, resourceVersion: body.metadata.resourceVersion, continue: body.metadata.continue || undefined }
    },

    async watch(resource, watchOptions) {
      const { resourceVersion, timeoutSeconds, idleTimeoutMs, onOpen, onEvent, namespace } = watchOptions
      const query = {
        ...selectors(watchOptions),
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion,
        timeoutSeconds,
      }
      const path = collectionPath(resource, namespace) + queryOf(query)
      const call: Call = { what: `watch ${resource.plural}`, method: 'GET', path, signal: watchOptions.signal }
      const timed = deadline(clock, deadlineMs, call.signal)
      try {
        const { response } = await open(call, timed.signal)
        if (response.statusCode !== 200) {
          const chunks: Buffer[] = []
          for await (const chunk of response) chunks.push(chunk as Buffer)
          const status = response.statusCode ?? 0
          const body = parse(Buffer.concat(chunks).toString('utf8'), status)
          throw errorOfStatus(call.what, body, status, retryAfterOf(response))
        }
        timed.restart(idleTimeoutMs)
        onOpen?.()
        let rest: Buffer[] = []
        let held = 0
        for await (const chunk of response as AsyncIterable<Buffer>) {
          timed.restart(idleTimeoutMs)
          let from = 0
          for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
            rest.push(chunk.subarray(from, end))
            from = end + 1
            const line = rest.length === 1 ? rest[0]! : Buffer.concat(rest)
            rest = []
            held = 0
            if (line.length > 0) onEvent(eventOf(line, call.what))
          }
          if (from < chunk.length) {
            rest.push(chunk.subarray(from))
            held += chunk.length - from
            if (held > longestLine)
              throw new AppError('Unavailable', `Cannot ${call.what}: an event is longer than 32 MiB`)
          }
        }
        if (held > 0) throw new AppError('Unavailable', `Cannot ${call.what}: it ended in the middle of an event`)
      } catch (error) {
        throw error instanceof AppError ? error : unreachable(call, error, timed.overdue())
      } finally {
        timed.end()
      }
    },

    create: async (resource, object, { signal } = {}) =>
      (await send({
        what: `create ${resource.kind} ${nameOf(object.metadata)}`,
        method: 'POST',
        path: collectionPath(resource, object.metadata.namespace),
        body: object,
        signal,
      })) as KubeObject,

    update: async (resource, object, { signal } = {}) =>
      (await send({
        what: `update ${resource.kind} ${nameOf(object.metadata)}`,
        method: 'PUT',
        path: objectPath(resource, object.metadata),
        body: object,
        signal,
      })) as KubeObject,

    apply: async (resource, object, { fieldManager, force = false, subresource, signal }) =>
      (await send({
        what: `apply ${resource.kind} ${nameOf(object.metadata)}`,
        method: 'PATCH',
        path:
          objectPath(resource, object.metadata, subresource) +
          queryOf({ fieldManager, force: force ? 'true' : undefined }),
        contentType: 'application/apply-patch+yaml',
        body: object,
        signal,
      })) as KubeObject,

    patch: async (resource, key, patch, { subresource, signal } = {}) =>
      (await send({
        what: `patch ${resource.kind} ${nameOf(key)}`,
        method: 'PATCH',
        path: objectPath(resource, key, subresource),
        contentType: 'application/merge-patch+json',
        body: patch,
        signal,
      })) as KubeObject,

    async delete(resource, key, { uid, propagationPolicy = 'Background', signal } = {}) {
      const preconditions = uid === undefined ? {} : { preconditions: { uid } }
      const body = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy, ...preconditions }
      const answer = (await send({
        what: `delete ${resource.kind} ${nameOf(key)}`,
        method: 'DELETE',
        path: objectPath(resource, key),
        body,
        signal,
      })) as KubeObject
      return answer.kind !== 'Status' && answer.metadata?.deletionTimestamp !== undefined ? answer : undefined
    },

    close() {
      connection?.agent.destroy()
      connection = undefined
    },
  }
}

function nameOf({ namespace, name }: ObjectKey): string {
  return namespace === undefined ? name : `${namespace}/${name}`
}

function collectionPath(resource: Resource, namespace: string | undefined): string {
  const root = resource.apiVersion.includes('/') ? `/apis/${resource.apiVersion}` : `/api/${resource.apiVersion}`
  return namespace === undefined || !resource.namespaced
    ? `${root}/${resource.plural}`
    : `${root}/namespaces/${encodeURIComponent(namespace)}/${resource.plural}`
}

function objectPath(resource: Resource, { namespace, name }: ObjectKey, subresource?: string): string {
  if (resource.namespaced && namespace === undefined) throw new TypeError(`${resource.kind} ${name} has no namespace`)
  const path = `${collectionPath(resource, namespace)}/${encodeURIComponent(name)}`
  return subresource === undefined ? path : `${path}/${subresource}`
}

function selectors({ labelSelector, fieldSelector }: Selection): Record<string, string | undefined> {
  return { labelSelector, fieldSelector }
}

function queryOf(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value))
  return query.size === 0 ? '' : `?${query}`
}

function eventOf(line: Buffer, what: string): WatchEvent {
  let event: WatchEvent | undefined
  try {
    event = JSON.parse(line.toString('utf8')) as WatchEvent
  } catch (error) {
    throw new AppError('Unavailable', `Cannot ${what}: an event is not JSON`, { cause: error })
  }
  if (typeof event?.type !== 'string' || typeof event.object !== 'object' || event.object === null) {
    throw new AppError('Unavailable', `Cannot ${what}: an event has no type or no object`)
  }
  return event
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

/** A signal that is aborted when the time is over or the outer signal is aborted. */
function deadline(clock: Clock, ms: number, outer: AbortSignal | undefined) {
  const controller = new AbortController()
  let late = false
  const expire = (): void => {
    late = true
    controller.abort()
  }
  const abort = (): void => controller.abort()
  let cancel = clock.after(ms, expire)
  if (outer?.aborted === true) abort()
  outer?.addEventListener('abort', abort, { once: true })
  return {
    signal: controller.signal,
    overdue: () => late,
    restart(nextMs: number): void {
      cancel()
      cancel = clock.after(nextMs, expire)
    },
    end(): void {
      cancel()
      outer?.removeEventListener('abort', abort)
    },
  }
}
