import { once } from 'node:events'
import { constants } from 'node:os'
import type { Logger } from './log.ts'
import { sleep } from './time.ts'

/** A piece of a process that is opened and closed: a server, a client, a loop. */
export interface Part {
  readonly name: string
  /** Resolves when the part does its work. `signal` is aborted when the process is to stop meanwhile. */
  start?(signal: AbortSignal): Promise<void> | void
  /** Ends work in flight, then lets go of everything. Called only after `start` succeeded. */
  stop?(): Promise<void> | void
}

const signals = ['SIGTERM', 'SIGINT'] as const
type Signal = (typeof signals)[number]

/** Calls it when the process is asked to end, once a signal. @returns what lets go of the signals */
export function onSignals(listener: () => void): () => void {
  for (const signal of signals) process.once(signal, listener)
  return () => {
    for (const signal of signals) process.off(signal, listener)
  }
}

/** What of `process` a lifecycle needs. */
export interface Host {
  on(signal: Signal, listener: (signal: Signal) => void): unknown
  off(signal: Signal, listener: (signal: Signal) => void): unknown
  exit(code: number): unknown
}

export interface RunOptions {
  readonly log: Logger
  /**
   * Aborting it stops the process: a signal does, and so may the end of the input (without a reason) or a part that
   * failed (the error is the reason). Whatever must end first, such as readiness and loops, watches its signal.
   */
  readonly stop?: AbortController | undefined
  /** Time between that and the stop of the first part, in which callers find out and go elsewhere. */
  readonly drainMs?: number | undefined
  /** For stopping all parts; with `drainMs` it should be below the 30 s that Kubernetes waits. */
  readonly stopTimeoutMs?: number | undefined
  /**
   * After a signal and the last part's stop the process exits if it is still there so much later: a client may go on trying
   * to reach a server that is away. Without this the process ends by itself.
   */
  readonly lingerMs?: number | undefined
  readonly host?: Host | undefined
}

/**
 * Starts the parts in order, waits for SIGTERM, SIGINT or `stop`, and stops the started ones in reverse. Rejects with
 * the first error of a start, of a part that failed, or of a stop. A second signal exits at once with the shell's code
 * for it (143, 130); a missed deadline exits with 1.
 */
export async function run(parts: readonly Part[], options: RunOptions): Promise<void> {
  const { log, stop = new AbortController(), drainMs = 0, stopTimeoutMs = 20_000, lingerMs, host = process } = options
  const started: Part[] = []
  const errors: unknown[] = []
  let busyWith = 'nothing'
  let isSignalled = false

  const onSignal = (signal: Signal): void => {
    if (stop.signal.aborted) return void host.exit(128 + constants.signals[signal])
    isSignalled = true
    log.info({ signal }, 'stopping; a second signal exits at once')
    stop.abort()
  }
  for (const signal of signals) host.on(signal, onSignal)

  const stopping = stop.signal.aborted ? Promise.resolve() : once(stop.signal, 'abort')
  let deadline: NodeJS.Timeout | undefined
  const overdue = stopping.then(() => {
    deadline = setTimeout(() => {
      log.error({ part: busyWith, stopTimeoutMs }, 'did not stop in time; exiting')
      host.exit(1)
    }, drainMs + stopTimeoutMs)
  })

  try {
    for (const part of parts) {
      if (stop.signal.aborted) break
      busyWith = part.name
      await part.start?.(stop.signal)
      started.push(part)
    }
    await overdue
    if (drainMs > 0) await sleep(drainMs)
  } catch (error) {
    stop.abort(error)
    await overdue
  }
  if (isFailure(stop.signal.reason)) errors.push(stop.signal.reason)

  for (const part of started.reverse()) {
    busyWith = part.name
    try {
      await part.stop?.()
    } catch (error) {
      log.error({ part: part.name, error }, 'cannot stop cleanly')
      errors.push(error)
    }
  }
  clearTimeout(deadline)
  for (const signal of signals) host.off(signal, onSignal)
  if (isSignalled && lingerMs !== undefined) setTimeout(() => host.exit(errors.length === 0 ? 0 : 1), lingerMs).unref()
  if (errors.length > 0) throw errors[0]
}

/** Whether a stop was asked for because something failed: `abort()` without a reason is a plain request. */
function isFailure(reason: unknown): boolean {
  return !(reason instanceof DOMException && reason.name === 'AbortError')
}
