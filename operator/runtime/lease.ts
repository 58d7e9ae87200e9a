import { messageOf } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import type { Clock } from '../../lib/time.ts'
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

export interface LeaseOptions {
  readonly client: KubeClient
  readonly namespace: string
  /** Name of the Lease. */
  readonly name: string
  /** Who stands for election: unique among all processes, for example the pod's name. */
  readonly identity: string
  /** With which the Lease goes: of the same namespace. */
  readonly owner?: OwnerReference | undefined
  readonly log: Logger
  readonly clock: Clock
  /** How long others wait for a leader that says nothing. */
  readonly leaseMs: number
  /** How long a claim is good for: clearly less than `leaseMs`. */
  readonly renewDeadlineMs: number
}

/** A Lease, as one of those sees it that stand for election by it. */
export interface Lease {
  /** Takes or renews it; false when another holds it. Throws when the API server cannot say. */
  claim(signal: AbortSignal): Promise<boolean>
  /** Until when it surely is held, on the monotonic clock. */
  heldUntil(): number
  /** Holds it no longer, whatever the API server says. */
  letGo(): void
  /** Gives it up where it is held, so that another takes it at once. */
  release(): Promise<void>
  /** Who holds it, as last seen. */
  holder(): string | undefined
  /** Whether another holds it, as last seen. */
  isAnothers(): boolean
}

export function createLease(options: LeaseOptions): Lease {
  const { client, namespace, name, identity, log, clock, leaseMs, renewDeadlineMs } = options
  const owned = options.owner === undefined ? {} : { ownerReferences: [options.owner] }
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

  return {
    claim,
    heldUntil: () => leadsUntil,
    letGo() {
      leadsUntil = Number.NEGATIVE_INFINITY
    },
    release,
    holder: () => seen?.spec.holderIdentity || undefined,
    isAnothers: () => seen !== undefined && seen.spec.holderIdentity !== identity,
  }
}
