import { AppError } from './errors.ts'

/** Time as an argument, so that minutes of back-off are tested in milliseconds. */
export interface Clock {
  /** Milliseconds since 1970. It may jump: only for times that somebody outside of this process will read. */
  wall(): number
  /** Milliseconds since some moment, never going back: for deadlines, intervals and whether something stands still. */
  monotonic(): number
  /** Calls back once after so many milliseconds; returns how to cancel. */
  after(ms: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
}

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined
  readonly clock?: Clock | undefined
}

/** Resolves after so many milliseconds, or at once when the signal is aborted: it never rejects. */
export function sleep(ms: number, { signal, clock = systemClock }: WaitOptions = {}): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve()
    const end = (): void => {
      cancel()
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const cancel = clock.after(ms, end)
    signal?.addEventListener('abort', end, { once: true })
  })
}

/**
 * What the work gives, if it does in time. Otherwise rejects with `DeadlineExceeded`, or with the given error; the work
 * goes on unheeded.
 */
export async function within<T>(
  ms: number,
  work: Promise<T>,
  failure: string | (() => Error),
  clock = systemClock,
): Promise<T> {
  let cancel: (() => void) | undefined
  const late = new Promise<never>((_, reject) => {
    const expire = (): void =>
      reject(typeof failure === 'string' ? new AppError('DeadlineExceeded', failure) : failure())
    // Where this process was held up itself, the answer may be here already: it is read before the immediate.
    cancel = clock.after(ms, () => setImmediate(expire))
  })
  try {
    return await Promise.race([work, late])
  } finally {
    cancel?.()
  }
}

export interface BackoffOptions {
  /** Wait after the first failure, in milliseconds. */
  readonly baseMs: number
  /** The longest wait, before jitter. */
  readonly maxMs: number
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined
}

/**
 * How long to wait after so many failures in a row (1 = the first), in milliseconds: doubling from the base to the
 * maximum, less up to a half at random, so that those who failed together do not come back together.
 */
export function backoff(failures: number, { baseMs, maxMs, random = Math.random }: BackoffOptions): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30))
  return full * (1 - random() / 2)
}

const unitMs: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000 }

/** Milliseconds of a duration such as 7d, 12h or 30m; undefined for what is none. */
export function durationMs(text: string): number | undefined {
  const match = /^(\d+)([dhm])$/.exec(text)
  return match === null ? undefined : Number(match[1]) * unitMs[match[2]!]!
}
