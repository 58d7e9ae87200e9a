import { messageOf } from '../../lib/errors.ts'
import { backoff, type Clock, systemClock } from '../../lib/time.ts'

export interface Result {
  /** Work on the key again after so many milliseconds, whatever else happens. */
  readonly requeueAfterMs?: number | undefined
}

/** What a queue reports, for metrics. */
export interface QueueObserver {
  /** Work on a key begins; how long it had waited since it became due, in milliseconds. */
  started?(key: string, waitedMs: number): void
  /** Work on a key ended, after so many milliseconds; `error` is what it threw. */
  finished?(key: string, tookMs: number, error?: unknown): void
}

export interface QueueOptions {
  /** Does what there is to do for a key. Called for one key never twice at once. */
  readonly work: (key: string) => Promise<Result | undefined>
  /** Keys worked on at once. */
  readonly concurrency: number
  readonly clock?: Clock | undefined
  readonly random?: (() => number) | undefined
  readonly observer?: QueueObserver | undefined
  /** Waits of a key that fails again and again, in milliseconds. */
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number } | undefined
  /** Over all keys, how many retries may begin: so many at once, and so many a second in the long run. */
  readonly retryLimit?: { readonly burst: number; readonly perSecond: number } | undefined
  /** How long an error asks to wait, in milliseconds, where it does. */
  readonly retryAfterMs?: (error: unknown) => number | undefined
}

/**
 * A queue of keys. A key that waits is not queued twice; one that is added while it is worked on is worked on once
 * more. A key whose work fails comes back later and later without delaying others; adding it works on it at once.
 */
export interface Queue {
  add(key: string): void
  /** Adds the key after so many milliseconds, unless it is due earlier. */
  addAfter(key: string, ms: number): void
  /** Forgets the key's failures and what was to come later; a run under way goes on. */
  forget(key: string): void
  /** Keys that are due and not yet worked on. */
  readonly depth: number
  /** Keys worked on now. */
  readonly active: number
  /** Failures in a row of the key. */
  failures(key: string): number
  /** Begins nothing more; resolves when the work under way has ended. */
  stop(): Promise<void>
}

/** An empty queue that begins to work as soon as a key is added. */
export function createQueue(options: QueueOptions): Queue {
  const {
    work,
    concurrency,
    clock = systemClock,
    random = Math.random,
    observer = {},
    retryAfterMs = () => undefined,
  } = options
  const { baseMs, maxMs } = options.backoff ?? { baseMs: 100, maxMs: 60_000 }
  const limiter = createLimiter(options.retryLimit ?? { burst: 100, perSecond: 10 }, clock)
  /** Due keys in order, with the moment when each became due. */
  const due = new Map<string, number>()
  const later = new Map<string, { readonly at: number; readonly cancel: () => void }>()
  /** Keys worked on; true: once more afterwards. */
  const running = new Map<string, boolean>()
  const failed = new Map<string, number>()
  const idle = Promise.withResolvers<void>()
  let stopped = false

  function unschedule(key: string): void {
    later.get(key)?.cancel()
    later.delete(key)
  }

  function add(key: string): void {
    if (stopped) return
    unschedule(key)
    if (running.has(key)) running.set(key, true)
    else if (!due.has(key)) due.set(key, clock.monotonic())
    fill()
  }

  function addAfter(key: string, ms: number): void {
    if (stopped || due.has(key)) return
    const at = clock.monotonic() + ms
    const scheduled = later.get(key)
    if (scheduled !== undefined && scheduled.at <= at) return
    scheduled?.cancel()
    later.set(key, { at, cancel: clock.after(ms, () => add(key)) })
  }

  function fill(): void {
    while (running.size < concurrency && !stopped) {
      const next = due.entries().next()
      if (next.done === true) return
      const [key, since] = next.value
      due.delete(key)
      running.set(key, false)
      observer.started?.(key, clock.monotonic() - since)
      void run(key)
    }
  }

  async function run(key: string): Promise<void> {
    const began = clock.monotonic()
    let again: number | undefined
    let thrown: unknown
    try {
      again = (await work(key))?.requeueAfterMs
      failed.delete(key)
    } catch (error) {
      thrown = error ?? new Error(messageOf(error))
      const failures = (failed.get(key) ?? 0) + 1
      failed.set(key, failures)
      again = Math.max(backoff(failures, { baseMs, maxMs, random }), retryAfterMs(error) ?? 0)
      again = Math.max(again, limiter.reserve())
    }
    observer.finished?.(key, clock.monotonic() - began, thrown)
    const onceMore = running.get(key) === true
    running.delete(key)
    if (onceMore) add(key)
    else if (again !== undefined) addAfter(key, again)
    fill()
    if (stopped && running.size === 0) idle.resolve()
  }

  return {
    add,
    addAfter,
    forget(key) {
      unschedule(key)
      due.delete(key)
      failed.delete(key)
    },
    get depth() {
      return due.size
    },
    get active() {
      return running.size
    },
    failures: (key) => failed.get(key) ?? 0,
    stop() {
      stopped = true
      for (const key of [...later.keys()]) unschedule(key)
      due.clear()
      if (running.size === 0) idle.resolve()
      return idle.promise
    },
  }
}

/** A bucket that holds `burst` tokens and gets `perSecond` new ones. */
export function createLimiter(
  { burst, perSecond }: { readonly burst: number; readonly perSecond: number },
  clock: Clock,
) {
  let tokens = burst
  let asOf = clock.monotonic()
  return {
    /** Takes a token; returns how many milliseconds to wait until it is there. */
    reserve(): number {
      const now = clock.monotonic()
      tokens = Math.min(burst, tokens + ((now - asOf) / 1000) * perSecond) - 1
      asOf = now
      return tokens >= 0 ? 0 : (-tokens / perSecond) * 1000
    },
    /** Takes a token if there is one. */
    tryTake(): boolean {
      const now = clock.monotonic()
      tokens = Math.min(burst, tokens + ((now - asOf) / 1000) * perSecond)
      asOf = now
      if (tokens < 1) return false
      tokens -= 1
      return true
    },
  }
}
