/** Time as an argument, so that minutes of back-off are tested in milliseconds. */
export interface Clock {
  /** Wall time in milliseconds since 1970. It may jump: for time stamps only. */
  now(): number
  /** Milliseconds since some moment, never going back: for deadlines and intervals. */
  monotonic(): number
  /** Calls back once after so many milliseconds; returns how to cancel. */
  after(ms: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
}

/** Resolves after so many milliseconds, or at once when the signal is aborted: it never rejects. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal | undefined): Promise<void> {
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
