import { AppError, messageOf } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { backoff, type Clock, sleep, systemClock } from '../../lib/time.ts'
import type { Cache } from './cache.ts'
import type { KubeClient } from './kube-client.ts'
import type { KubeObject, Resource } from './kube-object.ts'
import type { Selection } from './kube-path.ts'
import { errorOfStatus, isExpired, statusOf } from './kube-status.ts'
import { createPagedList } from './paged-list.ts'
import type { WatchEvent } from './watch-stream.ts'

export interface ReflectorOptions extends Selection {
  readonly client: KubeClient
  readonly resource: Resource
  readonly cache: Cache
  readonly log: Logger
  readonly clock?: Clock
  readonly random?: () => number
  /** What of an object to keep; by default all but managedFields, which often are half of it. */
  readonly keep?: ((object: KubeObject) => KubeObject) | undefined
  /** Which objects of the cache this selection speaks of, where several reflectors feed one cache. */
  readonly within?: ((object: KubeObject) => boolean) | undefined
  /** Objects a page of a list. */
  readonly pageSize?: number
  /**
   * Silence after which a watch counts as dead, in milliseconds. The API server sends a bookmark about once a minute, so
   * it must be more.
   */
  readonly idleTimeoutMs?: number
  /** Told of each failure to list or watch; it goes on trying. */
  readonly onFailure?: ((error: unknown) => void) | undefined
  /** First and longest wait after failures in a row, in milliseconds. */
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number }
}

export interface Reflector {
  /** Resolves when the cache holds the first whole list; rejects if the reflector is stopped before. */
  readonly synced: Promise<void>
  hasSynced(): boolean
  /** Milliseconds since the watch last failed and has not come back; 0 while it runs. */
  staleMs(): number
  /** Why it cannot list or watch at present; undefined while it can, and before the first try. */
  failure(): unknown
  /** Ends the watch. Resolves when nothing is written to the cache any more. */
  stop(): Promise<void>
}

/**
 * Keeps the cache true to what the API server has: lists page by page, then watches from there, forever. After a
 * failure it goes on where it was; where that is too long ago for the API server (410), or what came was not to be
 * understood, it lists anew. Failures wait with jitter, and at least as long as the API server asks.
 */
export function startReflector(options: ReflectorOptions): Reflector {
  const {
    client,
    resource,
    cache,
    log,
    namespace,
    labelSelector,
    fieldSelector,
    within,
    keep = withoutManagedFields,
  } = options
  const { clock = systemClock, random = Math.random, pageSize = 500, idleTimeoutMs = 90_000 } = options
  const { baseMs, maxMs } = options.backoff ?? { baseMs: 500, maxMs: 30_000 }
  const selection: Selection = { namespace, labelSelector, fieldSelector }
  const listAll = createPagedList({ client, resource, selection, keep, pageSize })
  const stopping = new AbortController()
  const { signal } = stopping
  const synced = Promise.withResolvers<void>()
  synced.promise.catch(() => {})
  let hasSynced = false
  let failures = 0
  let failedAt: number | undefined
  let failure: unknown

  async function list(): Promise<string> {
    const { objects, resourceVersion } = await listAll(signal)
    if (signal.aborted) throw stopped()
    cache.replace(objects, resourceVersion, within)
    hasSynced = true
    synced.resolve()
    return resourceVersion
  }

  /** Follows the changes; resolves with the version up to which they are known. */
  async function watch(from: string): Promise<void> {
    // Spread out, so that watches that began together do not all end together.
    const timeoutSeconds = Math.round(300 + random() * 300)
    await client.watch(resource, {
      ...selection,
      resourceVersion: from,
      timeoutSeconds,
      idleTimeoutMs,
      signal,
      onOpen: recovered,
      onEvent: take,
    })
  }

  let version: string | undefined

  function take({ type, object }: WatchEvent): void {
    if (signal.aborted) throw stopped()
    if (type === 'ERROR') throw errorOfStatus(`watch ${resource.plural}`, object, 500)
    const resourceVersion = object.metadata?.resourceVersion
    if (typeof resourceVersion !== 'string') {
      throw new AppError('Unavailable', `Cannot watch ${resource.plural}: an object has no resourceVersion`)
    }
    if (type === 'DELETED') cache.remove(keep(object))
    else if (type === 'ADDED' || type === 'MODIFIED') cache.put(keep(object))
    version = resourceVersion
  }

  function recovered(): void {
    if (failedAt !== undefined && failures > 1) {
      log.info({ resource: resource.plural, namespace, seconds: Math.round(staleMs() / 1000) }, 'the watch is back')
    }
    failedAt = undefined
    failure = undefined
  }

  function staleMs(): number {
    return failedAt === undefined ? 0 : clock.monotonic() - failedAt
  }

  async function follow(): Promise<void> {
    while (!signal.aborted) {
      const began = clock.monotonic()
      const from = version
      try {
        version ??= await list()
        await watch(version)
        // A watch that ends at once and brought nothing must not become a busy loop.
        if (clock.monotonic() - began >= 1000 || version !== from) {
          failures = 0
          continue
        }
        failures += 1
      } catch (error) {
        if (signal.aborted) break
        failedAt ??= clock.monotonic()
        failure = error
        options.onFailure?.(error)
        failures = clock.monotonic() - began >= maxMs ? 1 : failures + 1
        // Anything but a plain loss of the connection leaves a doubt about what was missed, and so does a server that
        // says no to this watch again and again.
        if (!isConnectionLoss(error) || (failures >= 5 && statusOf(error) !== undefined)) version = undefined
        if (isExpired(error))
          log.debug({ resource: resource.plural, namespace }, 'the watch is too far behind; listing anew')
        else if (failures === 2)
          log.warn({ resource: resource.plural, namespace, error: messageOf(error) }, 'cannot watch; trying on')
        if (isExpired(error) && failures === 1) continue
        const asked = statusOf(error)?.retryAfterMs ?? 0
        await sleep(Math.max(asked, backoff(failures, { baseMs, maxMs, random })), { signal, clock })
        continue
      }
      await sleep(backoff(failures, { baseMs, maxMs, random }), { signal, clock })
    }
  }

  const ended = follow()
  return {
    synced: synced.promise,
    hasSynced: () => hasSynced,
    staleMs,
    failure: () => failure,
    async stop() {
      stopping.abort(stopped())
      synced.reject(stopped())
      await ended
    },
  }
}

/** Drops who set which field when, which often is half of an object. */
export function withoutManagedFields(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata as KubeObject['metadata'] & { managedFields?: unknown }
  return { ...object, metadata }
}

function stopped(): AppError {
  return new AppError('Unavailable', 'Cannot go on watching: stopped', { retriable: false })
}

/** The answer did not come, or the API server was busy: what is known up to here stays true. */
function isConnectionLoss(error: unknown): boolean {
  const status = statusOf(error)
  if (status !== undefined) return !isExpired(error) && (status.code === 429 || status.code >= 500)
  const cause = (error as AppError).cause as { code?: unknown } | undefined
  return (error as AppError).code === 'DeadlineExceeded' || typeof cause?.code === 'string'
}
