import type { Clock } from './time.ts'

export interface ManualClock extends Clock {
  /** Moves time forward, calling back in order what falls due, each with all that follows from it at that moment. */
  advance(ms: number): Promise<void>
  /** Timers that have neither fallen due nor been cancelled. */
  readonly waiting: number
}

/** A clock for tests: it stands still until it is told to move. */
export function createManualClock(start = Date.UTC(2026, 0, 1)): ManualClock {
  let elapsed = 0
  let timers: { readonly due: number; readonly callback: () => void }[] = []
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  return {
    wall: () => start + elapsed,
    monotonic: () => elapsed,
    get waiting() {
      return timers.length
    },
    after(ms, callback) {
      const timer = { due: elapsed + ms, callback }
      timers.push(timer)
      return () => {
        timers = timers.filter((other) => other !== timer)
      }
    },
    async advance(ms) {
      const end = elapsed + ms
      await settle()
      for (;;) {
        const next = timers.filter((timer) => timer.due <= end).sort((a, b) => a.due - b.due)[0]
        if (next === undefined) break
        timers = timers.filter((timer) => timer !== next)
        elapsed = Math.max(elapsed, next.due)
        next.callback()
        await settle()
      }
      elapsed = end
    },
  }
}
