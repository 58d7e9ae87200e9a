import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { AppError } from '../../../lib/errors.ts'
import { createKubeClient, type KubeClient } from '../../../operator/runtime/kube-client.ts'
import type { Resource } from '../../../operator/runtime/kube-object.ts'
import { type Election, startElection } from '../../../operator/runtime/leader-election.ts'
import { type FaultProxy, startFaultProxy } from '../../harness/apiserver/fault-proxy.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const leases: Resource = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases', namespaced: true }

const leaseMs = 4_000

interface Candidate {
  readonly identity: string
  readonly election: Election
  /** Between the process and the API server: cutting it is as if the process were gone. */
  readonly proxy: FaultProxy
  readonly reasons: unknown[]
  readonly terms: number
  /** Asks it to stop. */
  stop(): void
}

describe('Leader election against an API server', () => {
  const cluster = useApiServer()
  let direct: KubeClient
  let candidates: Candidate[] = []
  let lease: string
  let count = 0
  let leading: Set<string>
  let most: number

  before(() => {
    direct = createKubeClient(cluster.server.kubeConfig, { userAgent: 'test' })
  })
  beforeEach(() => {
    lease = `lease-${++count}`
    leading = new Set()
    most = 0
    candidates = []
  })
  afterEach(async () => {
    for (const candidate of candidates) candidate.stop()
    await Promise.all(candidates.map(({ proxy, election }) => election.ended.then(() => proxy.stop())))
  })

  async function stand(identity: string, workEnds: () => Promise<void> = async () => {}): Promise<Candidate> {
    const proxy = await startFaultProxy(cluster.server)
    const stopping = new AbortController()
    const reasons: unknown[] = []
    let terms = 0
    const election = startElection({
      client: createKubeClient(proxy.kubeConfig, { userAgent: 'test' }),
      namespace: 'default',
      name: lease,
      identity,
      log: silent,
      signal: stopping.signal,
      leaseMs,
      renewDeadlineMs: 2_500,
      retryMs: 250,
      async lead(signal) {
        terms += 1
        leading.add(identity)
        most = Math.max(most, leading.size)
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
        reasons.push(signal.reason)
        if (!(signal.reason instanceof AppError)) await workEnds()
        leading.delete(identity)
      },
    })
    const candidate: Candidate = {
      identity,
      election,
      proxy,
      reasons,
      get terms() {
        return terms
      },
      stop: () => stopping.abort(),
    }
    candidates.push(candidate)
    return candidate
  }

  it('lets one of two lead', async () => {
    const a = await stand('a')
    await eventually(() => expect(a.election.isLeader()).to.equal(true))
    const b = await stand('b')
    await eventually(() => expect(b.election.leader()).to.equal('a'))
    await sleep(leaseMs + 500)
    expect([...leading]).to.deep.equal(['a'])
    expect([a.election.isLeader(), b.election.isLeader()]).to.deep.equal([true, false])
    expect((await direct.get(leases, { namespace: 'default', name: lease })).spec).to.include({
      holderIdentity: 'a',
      leaseTransitions: 0,
    })
  })

  it('hands over when the leader is cut off, and never has two', async () => {
    const a = await stand('a')
    await eventually(() => expect(a.election.isLeader()).to.equal(true))
    const b = await stand('b')
    await eventually(() => expect(b.election.leader()).to.equal('a'))
    const restore = a.proxy.blackhole()
    await eventually(() => expect([...leading]).to.deep.equal(['b']))
    expect(a.election.isLeader()).to.equal(false)
    expect(a.reasons[0]).to.include({ code: 'Fenced' })
    restore()
    await eventually(() => expect(a.election.leader()).to.equal('b'))
    expect(most).to.equal(1)
    expect((await direct.get(leases, { namespace: 'default', name: lease })).spec).to.include({ leaseTransitions: 1 })
  })

  it('stands again after a loss, without a restart', async () => {
    const a = await stand('a')
    await eventually(() => expect(a.election.isLeader()).to.equal(true))
    const restore = a.proxy.blackhole()
    await eventually(() => expect(a.election.isLeader()).to.equal(false))
    restore()
    await eventually(() => expect(a.election.isLeader()).to.equal(true))
    expect(a.terms).to.equal(2)
  })

  it('keeps leading through errors shorter than its deadline', async () => {
    const a = await stand('a')
    await eventually(() => expect(a.election.isLeader()).to.equal(true))
    a.proxy.fault({ kind: 'status', code: 500 }, { times: 3 })
    await sleep(1_500)
    a.proxy.fault({ kind: 'reset' }, { times: 2 })
    await sleep(1_000)
    expect(a.election.isLeader()).to.equal(true)
    expect(a.terms).to.equal(1)
  })

  it('survives an API server that is away for a while', async () => {
    const a = await stand('a')
    const b = await stand('b')
    await eventually(() => expect(leading.size).to.equal(1))
    await cluster.server.kill()
    await eventually(() => expect(leading.size).to.equal(0))
    await cluster.server.restart()
    await eventually(() => expect(leading.size).to.equal(1))
    expect(most).to.equal(1)
    expect(a.terms + b.terms).to.be.greaterThan(1)
  })

  it('gives the lease up at once when it stops, after its work has ended', async () => {
    const a = await stand('a', () => sleep(leaseMs + 500))
    await eventually(() => expect(a.election.isLeader()).to.equal(true))
    const b = await stand('b')
    await eventually(() => expect(b.election.leader()).to.equal('a'))
    a.stop()
    await sleep(leaseMs + 200)
    expect([...leading], 'the lease is held while the work ends').to.deep.equal(['a'])
    await a.election.ended
    const { spec } = await direct.get(leases, { namespace: 'default', name: lease })
    expect((spec as { holderIdentity: string }).holderIdentity, 'given back').to.be.oneOf(['', 'b'])
    await eventually(() => expect([...leading]).to.deep.equal(['b']))
    expect(most).to.equal(1)
  })

  it('loses to one who takes the lease by force', async () => {
    const a = await stand('a')
    await eventually(() => expect(a.election.isLeader()).to.equal(true))
    await eventually(async () => {
      const object = await direct.get(leases, { namespace: 'default', name: lease })
      await direct.update(leases, { ...object, spec: { ...(object.spec as object), holderIdentity: 'thief' } })
    })
    await eventually(() => expect(a.election.isLeader()).to.equal(false))
    expect(a.reasons[0]).to.include({ code: 'Fenced' })
  })
})
