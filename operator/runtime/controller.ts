import { AppError, messageOf } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { type Clock, sleep, systemClock } from '../../lib/time.ts'
import type { Cache, Change } from './cache.ts'
import { controllerOf, type KubeObject, keyOf } from './kube-object.ts'
import { statusOf } from './kube-status.ts'
import { createQueue, type Queue, type QueueObserver, type QueueOptions, type Result } from './queue.ts'

/** Where changes come from, and which keys they concern. */
export interface Source {
  readonly cache: Cache
  /** Keys to reconcile because of the change; none if it does not matter. */
  readonly keys: (change: Change) => readonly string[]
}

export interface ControllerOptions {
  readonly sources: readonly Source[]
  /**
   * Brings the world nearer to what is wanted for the key, from whatever state it is in; called again after every change
   * and every failure. Work that honours `signal` ends early when the leadership is lost or the time to stop is over.
   */
  readonly reconcile: (key: string, options: { readonly signal: AbortSignal }) => Promise<Result | undefined>
  readonly log: Logger
  /** Keys reconciled at once. */
  readonly concurrency?: number
  readonly clock?: Clock | undefined
  readonly random?: (() => number) | undefined
  readonly observer?: QueueObserver | undefined
  readonly backoff?: QueueOptions['backoff']
  readonly retryLimit?: QueueOptions['retryLimit']
  /** On a plain stop, how long reconciles under way may take to end by themselves. */
  readonly graceMs?: number
}

export interface Controller {
  /**
   * Reconciles until the signal is aborted, and resolves when no reconcile is under way. Aborted with a Fenced
   * AppError, reconciles are told to end at once. May be called again afterwards: it begins with all that the caches hold.
   */
  run(signal: AbortSignal): Promise<void>
  /** Asks for a reconcile, for example because a sampler saw something. Ignored while it does not run. */
  enqueue(key: string): void
  /** The queue of the present run, for metrics. */
  queue(): Pick<Queue, 'depth' | 'active' | 'failures'> | undefined
}

/** Caches -> keys -> queue -> reconcile. The caches should have synced before `run`. */
export function createController(options: ControllerOptions): Controller {
  const { sources, reconcile, log, concurrency = 8, graceMs = 10_000, clock = systemClock } = options
  let current: Queue | undefined

  async function work(key: string, signal: AbortSignal): Promise<Result | undefined> {
    try {
      return await reconcile(key, { signal })
    } catch (error) {
      const failures = (current?.failures(key) ?? 0) + 1
      const details = { key, failures, error: messageOf(error) }
      // Once when it begins to fail, then ever more rarely.
      if (!signal.aborted && Number.isInteger(Math.log2(failures))) log.warn(details, 'cannot reconcile; trying again')
      throw error
    }
  }

  return {
    async run(signal) {
      if (current !== undefined) throw new AppError('Internal', 'Cannot run a controller twice at once')
      const cut = new AbortController()
      const queue = createQueue({
        ...options,
        concurrency,
        work: (key) => work(key, cut.signal),
        retryAfterMs: (error) => statusOf(error)?.retryAfterMs,
      })
      current = queue
      const unsubscribe = sources.map(({ cache, keys }) =>
        cache.subscribe((change) => {
          for (const key of keys(change)) queue.add(key)
        }),
      )
      for (const { cache, keys } of sources) {
        for (const object of cache.values()) for (const key of keys({ type: 'added', object })) queue.add(key)
      }
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve()
        else signal.addEventListener('abort', () => resolve(), { once: true })
      })
      for (const end of unsubscribe) end()
      const ended = queue.stop()
      const isFenced = signal.reason instanceof AppError && signal.reason.code === 'Fenced'
      if (!isFenced) {
        const done = new AbortController()
        await Promise.race([ended, sleep(graceMs, { signal: done.signal, clock })])
        done.abort()
      }
      cut.abort(signal.reason)
      await ended
      current = undefined
    },
    enqueue: (key) => current?.add(key),
    queue: () => current,
  }
}

/**
 * The object's own key, when its spec, its labels or annotations changed, or it came or went; not when only its status
 * did, as far as its kind counts generations.
 */
export function ownKey({ type, object, previous }: Change): readonly string[] {
  if (type !== 'updated' || previous === undefined || intentChanged(previous, object)) return [keyOf(object)]
  return []
}

function intentChanged(before: KubeObject, after: KubeObject): boolean {
  const [a, b] = [before.metadata, after.metadata]
  return (
    a.uid !== b.uid ||
    // Kinds without generations: any change may be one.
    (a.generation === undefined ? a.resourceVersion !== b.resourceVersion : a.generation !== b.generation) ||
    a.deletionTimestamp !== b.deletionTimestamp ||
    !sameEntries(a.labels, b.labels) ||
    !sameEntries(a.annotations, b.annotations)
  )
}

function sameEntries(a: Readonly<Record<string, string>> = {}, b: Readonly<Record<string, string>> = {}): boolean {
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name])
}

/** Key of the owner of this kind that controls the changed object, or controlled it before. */
export function ownerKey(owner: {
  readonly apiVersion: string
  readonly kind: string
}): (change: Change) => readonly string[] {
  return ({ object, previous }) => {
    const keys = new Set<string>()
    for (const version of previous === undefined ? [object] : [object, previous]) {
      const reference = controllerOf(version)
      if (reference?.kind !== owner.kind || reference.apiVersion !== owner.apiVersion) continue
      const { namespace } = version.metadata
      keys.add(namespace === undefined ? reference.name : `${namespace}/${reference.name}`)
    }
    return [...keys]
  }
}
