import { type Clock, sleep } from '../../lib/time.ts'

/** Resolves with false when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<false> {
  if (signal.aborted) return Promise.resolve(false)
  return new Promise((done) => signal.addEventListener('abort', () => done(false), { once: true }))
}

/** Settles with the work, or earlier when the signal is aborted; leaves nothing behind on a signal that lives on. */
export async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const stop = (): void => resolve()
  signal.addEventListener('abort', stop, { once: true })
  try {
    await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Whether the work was done in time; afterwards nobody waits for it. */
export async function isDoneWithin(ms: number, work: Promise<unknown>, clock: Clock): Promise<boolean> {
  const late = new AbortController()
  try {
    return await Promise.race([work.then(() => true), sleep(ms, { signal: late.signal, clock }).then(() => false)])
  } finally {
    late.abort()
  }
}

/** Calls back again and again, so many milliseconds after the last call has ended. Returns how to end that. */
export function every(ms: number, callback: () => Promise<void> | void, clock: Clock): () => void {
  let isEnded = false
  let cancel: () => void
  const again = (): void => {
    cancel = clock.after(ms, async () => {
      await callback()
      if (!isEnded) again()
    })
  }
  again()
  return () => {
    isEnded = true
    cancel()
  }
}
