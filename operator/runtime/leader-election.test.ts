import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { createManualClock, type ManualClock } from '../../lib/manual-clock.ts'
import type { KubeClient } from './kube-client.ts'
import type { KubeObject, Resource } from './kube-object.ts'
import { errorOfStatus } from './kube-status.ts'
import { type Election, type ElectionOptions, startElection } from './leader-election.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** One lease in memory, with the API server's optimistic concurrency. */
function createLeaseStore() {
  let lease: KubeObject | undefined
  let version = 0
  const reach = { down: false, writes: 0 }
  const assertUp = (): void => {
    if (reach.down)
      throw new AppError('Unavailable', 'Cannot reach the API server', { cause: { code: 'ECONNREFUSED' } })
  }
  const put = (object: KubeObject): KubeObject => {
    reach.writes += 1
    version += 1
    lease = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } }
    return lease
  }
  const client = {
    async get() {
      assertUp()
      if (lease === undefined) throw errorOfStatus('get', {}, 404)
      return lease
    },
    async create(_: Resource, object: KubeObject) {
      assertUp()
      if (lease !== undefined) throw errorOfStatus('create', { reason: 'AlreadyExists' }, 409)
      return put(object)
    },
    async update(_: Resource, object: KubeObject) {
      assertUp()
      if (object.metadata.resourceVersion !== lease?.metadata.resourceVersion) throw errorOfStatus('update', {}, 409)
      return put(object)
    },
  } as unknown as KubeClient
  return {
    client,
    reach,
    spec: () => lease?.spec as Record<string, unknown>,
    owners: () => lease?.metadata.ownerReferences,
  }
}

describe('Leader election', () => {
  let clock: ManualClock
  beforeEach(() => {
    clock = createManualClock()
  })

  function stand(client: KubeClient, identity: string, overrides: Partial<ElectionOptions> = {}) {
    const stopping = new AbortController()
    const terms: { began: number; ended?: number; reason?: unknown }[] = []
    const election: Election = startElection({
      client,
      namespace: 'a',
      name: 'lease',
      identity,
      log: silent,
      clock,
      random: () => 0,
      signal: stopping.signal,
      async lead(signal) {
        const term: (typeof terms)[number] = { began: clock.monotonic() }
        terms.push(term)
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
        term.ended = clock.monotonic()
        term.reason = signal.reason
      },
      ...overrides,
    })
    return { election, terms, stop: () => stopping.abort() }
  }

  it('takes a free lease at once and renews it every two seconds', async () => {
    const { client, reach, spec } = createLeaseStore()
    const a = stand(client, 'a')
    await clock.advance(0)
    expect(a.election.isLeader()).to.equal(true)
    expect(spec()).to.deep.equal({
      holderIdentity: 'a',
      leaseDurationSeconds: 15,
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:00.000000Z',
      leaseTransitions: 0,
    })
    await clock.advance(60_000)
    expect([reach.writes, a.terms.length]).to.deep.equal([31, 1])
  })

  it('ends its term ten seconds after it began the last renewal that succeeded, five before another may begin', async () => {
    const { client, reach } = createLeaseStore()
    const a = stand(client, 'a')
    await clock.advance(5_000)
    reach.down = true
    await clock.advance(20_000)
    expect(a.terms[0]).to.include({ began: 0, ended: 14_000 })
    expect(a.terms[0]?.reason).to.include({ code: 'Fenced' })
  })

  it('waits the whole duration before it takes over from one who says nothing, whatever the clocks say', async () => {
    const { client, spec } = createLeaseStore()
    const stale = {
      holderIdentity: 'gone',
      leaseDurationSeconds: 15,
      renewTime: '1999-01-01T00:00:00.000000Z',
      leaseTransitions: 4,
    }
    await client.create({} as Resource, { apiVersion: 'v1', kind: 'Lease', metadata: { name: 'lease' }, spec: stale })
    const a = stand(client, 'a')
    await clock.advance(15_000)
    expect(a.election.isLeader()).to.equal(false)
    expect(a.election.leader()).to.equal('gone')
    await clock.advance(2_000)
    expect(a.election.isLeader()).to.equal(true)
    expect(spec()).to.include({ holderIdentity: 'a', leaseTransitions: 5 })
  })

  it('makes the lease one that goes with its owner, and a lease that it takes over too', async () => {
    const owner = { apiVersion: 'v1', kind: 'ServiceAccount', name: 'a', uid: '1' }
    const { client, owners } = createLeaseStore()
    const a = stand(client, 'a', { owner })
    await clock.advance(0)
    expect(owners()).to.deep.equal([owner])
    a.stop()
    await clock.advance(0)
    const later = { ...owner, uid: '2' }
    stand(client, 'b', { owner: later })
    await clock.advance(10_000)
    expect(owners()).to.deep.equal([later])
  })

  it('takes over at once from one who gave the lease up', async () => {
    const { client } = createLeaseStore()
    const a = stand(client, 'a')
    await clock.advance(1_000)
    const b = stand(client, 'b')
    await clock.advance(1_000)
    a.stop()
    await clock.advance(2_000)
    await a.election.ended
    expect([a.election.isLeader(), b.election.isLeader()]).to.deep.equal([false, true])
  })

  it('no longer says that it leads when its process was stopped for too long, before it could notice', async () => {
    const { client } = createLeaseStore()
    let elapsed = 0
    const a = stand(client, 'a', { clock: { ...clock, monotonic: () => clock.monotonic() + elapsed } })
    await clock.advance(0)
    expect(a.election.isLeader()).to.equal(true)
    elapsed = 10_000
    expect(a.election.isLeader()).to.equal(false)
  })

  it('stands again after an outage', async () => {
    const { client, reach } = createLeaseStore()
    const a = stand(client, 'a')
    await clock.advance(0)
    reach.down = true
    await clock.advance(30_000)
    expect(a.election.isLeader()).to.equal(false)
    reach.down = false
    await clock.advance(2_000)
    expect([a.election.isLeader(), a.terms.length]).to.deep.equal([true, 2])
  })

  it('passes on what its work throws, and gives the lease up', async () => {
    const { client, spec } = createLeaseStore()
    const a = stand(client, 'a', {
      lead: async () => {
        throw new Error('broken')
      },
    })
    await clock.advance(0)
    const error = await a.election.ended.catch((reason: unknown) => reason)
    expect(error).to.have.property('message', 'broken')
    expect(spec()).to.include({ holderIdentity: '' })
  })

  it('refuses times that cannot keep two leaders apart', () => {
    expect(() => stand(createLeaseStore().client, 'a', { leaseMs: 10_000, renewDeadlineMs: 10_000 })).to.throw(
      RangeError,
    )
  })
})
