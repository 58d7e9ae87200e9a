import { AppError, messageOf } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { type Clock, sleep, systemClock } from '../../lib/time.ts'
import type { KubeClient } from './kube-client.ts'
import type { KubeObject, OwnerReference, Resource } from './kube-object.ts'
import { statusOf } from './kube-status.ts'

const leases: Resource = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases', namespaced: true }

interface LeaseSpec {
  readonly holderIdentity?: string
  readonly leaseDurationSeconds?: number
  readonly acquireTime?: string
  readonly renewTime?: string
  readonly leaseTransitions?: number
}

export interface ElectionOptions {
  readonly client: KubeClient
  readonly namespace: string
  /** Name of the Lease. */
  readonly name: string
  /** Who stands for election: unique among all processes, for example the pod's name. */
  readonly identity: string
  /** With which the Lease goes: of the same namespace. */
  readonly owner?: OwnerReference | undefined
  readonly log: Logger
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
  const { client, namespace, name, identity, log, lead, signal, clock = systemClock, random = Math.random } = options
  const owned = options.owner === undefined ? {} : { ownerReferences: [options.owner] }
  const { leaseMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2_000 } = options
  if (!(retryMs < renewDeadlineMs && renewDeadlineMs < leaseMs)) {
    throw new RangeError('retryMs must be less than renewDeadlineMs, and that less than leaseMs')
  }
  /** The Lease as last seen, and when that version was first seen. */
  let seen: { readonly lease: KubeObject; readonly spec: LeaseSpec; readonly at: number } | undefined
  let leadsUntil = Number.NEGATIVE_INFINITY

  function observe(lease: KubeObject): void {
    if (seen?.lease.metadata.resourceVersion === lease.metadata.resourceVersion) return
    const spec = (lease.spec ?? {}) as LeaseSpec
    if (spec.holderIdentity !== seen?.spec.holderIdentity && spec.holderIdentity !== identity && spec.holderIdentity) {
      log.info({ leader: spec.holderIdentity }, 'another process leads')
    }
    seen = { lease, spec, at: clock.monotonic() }
  }

  /** Takes or renews the lease; false when another holds it. Throws when the API server cannot say. */
  async function claim(cut: AbortSignal): Promise<boolean> {
    const began = clock.monotonic()
    const time = new Date(clock.wall()).toISOString().replace('Z', '000Z')
    const leaseDurationSeconds = Math.ceil(leaseMs / 1000)
    try {
      if (seen?.spec.holderIdentity !== identity) {
        try {
          observe(await client.get(leases, { namespace, name }, { signal: cut }))
        } catch (error) {
          if (statusOf(error)?.code !== 404) throw error
          const spec: LeaseSpec = {
            holderIdentity: identity,
            leaseDurationSeconds,
            acquireTime: time,
            renewTime: time,
            leaseTransitions: 0,
          }
          const metadata = { name, namespace, ...owned }
          const lease = { apiVersion: leases.apiVersion, kind: leases.kind, metadata, spec }
          observe(await client.create(leases, lease, { signal: cut }))
          leadsUntil = began + renewDeadlineMs
          return true
        }
      }
      const { lease, spec, at } = seen!
      const isMine = spec.holderIdentity === identity
      const isFree = !spec.holderIdentity || clock.monotonic() - at >= (spec.leaseDurationSeconds ?? 0) * 1000
      if (!isMine && !isFree) return false
      const next: LeaseSpec = {
        ...spec,
        holderIdentity: identity,
        leaseDurationSeconds,
        renewTime: time,
        acquireTime: isMine ? (spec.acquireTime ?? time) : time,
        leaseTransitions: (spec.leaseTransitions ?? 0) + (isMine ? 0 : 1),
      }
      // With the version that was seen: if another took it meanwhile, this is a Conflict.
      const metadata = { ...lease.metadata, ...owned }
      observe(await client.update(leases, { ...lease, metadata, spec: next }, { signal: cut }))
      leadsUntil = began + renewDeadlineMs
      return true
    } catch (error) {
      const code = statusOf(error)?.code
      if (code !== 409 && code !== 404) throw error
      if (code === 404) seen = undefined
      else observe(await client.get(leases, { namespace, name }, { signal: cut }))
      return false
    }
  }

  async function claimWithin(ms: number): Promise<boolean> {
    const cut = new AbortController()
    const cancel = clock.after(ms, () => cut.abort(new AppError('DeadlineExceeded', 'no answer in time')))
    try {
      return await claim(cut.signal)
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
      await sleep(Math.min(retryMs, Math.max(0, leadsUntil - clock.monotonic())), { signal: finished, clock })
      if (finished.aborted) return undefined
      const left = leadsUntil - clock.monotonic()
      if (left <= 0) return new AppError('Fenced', `Cannot lead any longer: the lease was not renewed in time${why}`)
      try {
        if (!(await claimWithin(left)) && seen?.spec.holderIdentity !== identity && seen !== undefined) {
          return new AppError(
            'Fenced',
            `Cannot lead any longer: ${seen.spec.holderIdentity || 'somebody'} took the lease`,
          )
        }
      } catch (error) {
        why = `: ${messageOf(error)}`
      }
    }
    return undefined
  }

  async function release(): Promise<void> {
    if (seen === undefined || seen.spec.holderIdentity !== identity) return
    const { lease, spec } = seen
    const time = new Date(clock.wall()).toISOString().replace('Z', '000Z')
    try {
      const given: LeaseSpec = { ...spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: time }
      observe(await client.update(leases, { ...lease, spec: given }))
    } catch (error) {
      log.debug({ error: messageOf(error) }, 'cannot give up the lease; it runs out by itself')
    }
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
        leadsUntil = Number.NEGATIVE_INFINITY
        log.warn({ error: messageOf(lost) }, 'lost the lease; standing again')
        work.abort(lost)
      }
      signal.removeEventListener('abort', stop)
      try {
        await working
      } catch (error) {
        if (lost === undefined) {
          await release()
          throw error
        }
      } finally {
        leadsUntil = Number.NEGATIVE_INFINITY
      }
      if (lost === undefined) {
        await release()
        if (!signal.aborted) await sleep(retryMs, { signal, clock })
      }
    }
    await release()
  }

  const ended = stand()
  ended.catch(() => {})
  return {
    isLeader: () => clock.monotonic() < leadsUntil,
    leader: () => seen?.spec.holderIdentity || undefined,
    ended,
  }
}
