import type { Clock } from '../../lib/time.ts'

export interface Deadline {
  /** Aborted when the time is over or the outer signal is aborted. */
  readonly signal: AbortSignal
  isOverdue(): boolean
  /** From now on so many milliseconds are left. */
  restart(ms: number): void
  end(): void
}

export function startDeadline(clock: Clock, ms: number, outer: AbortSignal | undefined): Deadline {
  const controller = new AbortController()
  let isLate = false
  const expire = (): void => {
    isLate = true
    controller.abort()
  }
  const abort = (): void => controller.abort()
  let cancel = clock.after(ms, expire)
  if (outer?.aborted === true) abort()
  outer?.addEventListener('abort', abort, { once: true })
  return {
    signal: controller.signal,
    isOverdue: () => isLate,
    restart(nextMs) {
      cancel()
      cancel = clock.after(nextMs, expire)
    },
    end() {
      cancel()
      outer?.removeEventListener('abort', abort)
    },
  }
}
