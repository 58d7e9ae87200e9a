import { AppError, messageOf } from '../../lib/errors.ts'
import { type Clock, sleep, systemClock } from '../../lib/time.ts'
import { createLease, type LeaseOptions } from './lease.ts'

export interface ElectionOptions extends Omit<LeaseOptions, 'clock' | 'leaseMs' | 'renewDeadlineMs'> {
  /**
   * The work of the leader. `signal` is aborted when it must end: with a Fenced AppError as its reason when the lease
   * was lost, then at once; otherwise because of `signal` below, then the lease is held until the work has ended.
   */
  readonly lead: (signal: AbortSignal) => Promise<void>
  /** Ends the election. The lease is given up, so that another leads at once. */
  readonly signal: AbortSignal
  readonly clock?: Clock
  readonly random?: () => number
  /** How long others wait for a leader that says nothing. */
  readonly leaseMs?: number
  /** How long a leader that cannot renew goes on: clearly less than `leaseMs`. */
  readonly renewDeadlineMs?: number
  /** How often a leader renews, and others look. */
  readonly retryMs?: number
}

export interface Election {
  /**
   * Whether this process leads, by its own clock: false as soon as the lease might have passed to another, even while
   * this process was stopped or too busy to notice. To be asked before every write.
   */
  isLeader(): boolean
  /** Who holds the lease, as last seen. */
  leader(): string | undefined
  /** Resolves when the election has ended and the lease is given up; rejects with what `lead` threw. */
  readonly ended: Promise<void>
}

/**
 * Stands for election until the signal is aborted: leads, and after a loss stands again, with no restart. No clock of
 * another machine counts: a lease has run out when this process has seen it unchanged for its duration.
 */
export function startElection(options: ElectionOptions): Election {
  const { identity, log, lead, signal, clock = systemClock, random = Math.random } = options
  const { leaseMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2_000 } = options
  if (!(retryMs < renewDeadlineMs && renewDeadlineMs < leaseMs)) {
    throw new RangeError('retryMs must be less than renewDeadlineMs, and that less than leaseMs')
  }
  const lease = createLease({ ...options, clock, leaseMs, renewDeadlineMs })

  async function claimWithin(ms: number): Promise<boolean> {
    const cut = new AbortController()
    const cancel = clock.after(ms, () => cut.abort(new AppError('DeadlineExceeded', 'no answer in time')))
    try {
      return await lease.claim(cut.signal)
    } finally {
      cancel()
    }
  }

  async function acquire(): Promise<void> {
    while (!signal.aborted) {
      try {
        if (await claimWithin(renewDeadlineMs)) return
      } catch (error) {
        log.debug({ error: messageOf(error) }, 'cannot stand for election')
      }
      await sleep(retryMs * (1 + random() / 5), { signal, clock })
    }
  }

  /** Renews until the work has ended; resolves with why it had to end, if the lease was lost. */
  async function hold(finished: AbortSignal): Promise<AppError | undefined> {
    let why = ''
    while (!finished.aborted) {
      await sleep(Math.min(retryMs, Math.max(0, lease.heldUntil() - clock.monotonic())), { signal: finished, clock })
      if (finished.aborted) return undefined
      const left = lease.heldUntil() - clock.monotonic()
      if (left <= 0) return new AppError('Fenced', `Cannot lead any longer: the lease was not renewed in time${why}`)
      try {
        if (!(await claimWithin(left)) && lease.isAnothers())
          return new AppError('Fenced', `Cannot lead any longer: ${lease.holder() ?? 'somebody'} took the lease`)
      } catch (error) {
        why = `: ${messageOf(error)}`
      }
    }
    return undefined
  }

  async function stand(): Promise<void> {
    while (!signal.aborted) {
      await acquire()
      if (signal.aborted) break
      log.info({ identity }, 'leading')
      const work = new AbortController()
      const stop = (): void => work.abort(signal.reason)
      signal.addEventListener('abort', stop, { once: true })
      if (signal.aborted) stop()
      const finished = new AbortController()
      const working = lead(work.signal).finally(() => finished.abort())
      working.catch(() => {})
      const lost = await hold(finished.signal)
      if (lost !== undefined) {
        lease.letGo()
        log.warn({ error: messageOf(lost) }, 'lost the lease; standing again')
        work.abort(lost)
      }
      signal.removeEventListener('abort', stop)
      try {
        await working
      } catch (error) {
        if (lost === undefined) {
          await lease.release()
          throw error
        }
      } finally {
        lease.letGo()
      }
      if (lost === undefined) {
        await lease.release()
        if (!signal.aborted) await sleep(retryMs, { signal, clock })
      }
    }
    await lease.release()
  }

  const ended = stand()
  ended.catch(() => {})
  return {
    isLeader: () => clock.monotonic() < lease.heldUntil(),
    leader: lease.holder,
    ended,
  }
}
