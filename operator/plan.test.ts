import { expect } from 'chai'
import { testParent } from './desired/test-parent.ts'
import { planOf } from './plan.ts'

const { pipeline } = testParent()
const document = {
  apiVersion: pipeline.apiVersion,
  kind: pipeline.kind,
  metadata: { ...pipeline.metadata, uid: 'u-1' },
}
const scope = {
  key: 'shop/payments',
  document,
  pipeline,
  issues: [],
  warnings: [],
  secrets: { consumer: { hash: 'c' }, inference: { hash: 'i' }, api: { hash: 'a' }, recorder: { hash: 'r' } },
  generated: {},
  workloads: {},
  pods: {},
  autoscalers: [],
  claims: [],
  demand: {},
  servesMonitors: false,
}
const settings = { workloadImage: 'anomaly:1', redisImage: 'redis:8', logLevel: 'info' }
const plan = (changes: Partial<Parameters<typeof planOf>[0]> = {}) =>
  planOf({ ...scope, ...changes }, { settings, newSecret: () => 'made-up' })
const signingKey = (of: ReturnType<typeof plan>) =>
  (of.desired.find(({ metadata }) => metadata.name === 'payments-signing')!.data as { key: string }).key

describe('planOf', () => {
  it('makes up a value only where no Secret keeps one', () => {
    expect(Buffer.from(signingKey(plan()), 'base64').toString()).to.equal('made-up')
    const kept = plan({ generated: { signingKey: 'kept', redisPassword: 'kept' } })
    expect(Buffer.from(signingKey(kept), 'base64').toString()).to.equal('kept')
  })

  it('lets a volume grow that is bound, and leaves what a StatefulSet makes its claims of', () => {
    const { pipeline } = testParent({ state: { redis: { managed: { storage: { size: '3Gi' } } } } })
    const claimOf = (name: string, storage: string, phase = 'Bound') => ({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name },
      spec: { resources: { requests: { storage } } },
      status: { phase },
    })
    const small = claimOf('small', '1Gi')
    const claims = [small, claimOf('grown', '3Gi'), claimOf('larger', '1Ti'), claimOf('new', '1Gi', 'Pending')]
    const redis = { ...claimOf('payments-redis', ''), spec: { volumeClaimTemplates: [claimOf('data', '2Gi')] } }
    const { growing, desired } = plan({ pipeline, claims, workloads: { redis } })
    expect(growing).to.deep.equal([{ claim: small, size: '3Gi' }])
    const { spec } = desired.find(({ kind }) => kind === 'StatefulSet')!
    expect(spec).to.have.nested.property('volumeClaimTemplates[0].spec.resources.requests.storage', '2Gi')
    expect(plan({ pipeline }).desired.find(({ kind }) => kind === 'StatefulSet')!.spec).to.have.nested.property(
      'volumeClaimTemplates[0].spec.resources.requests.storage',
      '3Gi',
    )
  })

  describe('while what was learnt moves', () => {
    const { pipeline: wanted } = testParent({
      state: { redis: { external: { urlSecretRef: { name: 'redis', key: 'url' } } } },
    })
    const stopped = (name: string) => ({
      ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec: { replicas: 0 } },
      status: { replicas: 0 },
    })
    const workloads = { consumer: stopped('consumer'), inference: stopped('inference'), api: stopped('api') }
    const move = { wanted, secrets: scope.secrets, jobs: [], pods: [] }
    const named = ({ desired }: ReturnType<typeof plan>, kind: string) =>
      desired.filter((object) => object.kind === kind)
    const replicas = (of: ReturnType<typeof plan>) =>
      named(of, 'Deployment').map(({ spec }) => (spec as { replicas: number }).replicas)
    const jobOf = (of: ReturnType<typeof plan>, type: string) => {
      const [job] = named(of, 'Job')
      return { ...job!, status: { conditions: [{ type, status: 'True' }] } }
    }
    const copying = plan({ workloads, move })

    it('stops who writes before it copies, and keeps the former Redis', () => {
      const stopping = plan({ workloads: { ...workloads, api: { ...stopped('api'), spec: { replicas: 2 } } }, move })
      expect([stopping.move?.phase, copying.move?.phase]).to.deep.equal(['Stopping', 'Copying'])
      expect([named(stopping, 'Job').length, named(copying, 'Job').length]).to.deep.equal([0, 1])
      for (const one of [stopping, copying]) {
        expect(replicas(one)).to.deep.equal([0, 0, 0])
        expect(named(one, 'StatefulSet')).to.have.length(1)
        expect(one.problems.map(({ reason }) => reason)).to.deep.equal(['MovingState'])
      }
    })

    it('has the other Redis once all is there', () => {
      const done = plan({ workloads, move: { ...move, jobs: [jobOf(copying, 'Complete')] } })
      expect([done.move, done.pipeline, done.problems]).to.deep.equal([undefined, wanted, []])
      expect([...named(done, 'StatefulSet'), ...named(done, 'Job')]).to.deep.equal([])
      expect(replicas(done)).to.deep.equal([2, 1, 2])
    })

    it('goes on as it was where the copy failed, and copies anew for another Secret', () => {
      const jobs = [jobOf(copying, 'Failed')]
      const failed = plan({ workloads, move: { ...move, jobs } })
      expect(failed.problems.map(({ reason, stalled }) => [reason, stalled])).to.deep.equal([['StateNotMoved', true]])
      expect(replicas(failed)).to.deep.equal([2, 1, 2])
      // By it the copy is known to have failed.
      expect(named(failed, 'Job')[0]?.metadata.name).to.equal(jobs[0]!.metadata.name)
      const secrets = { ...scope.secrets, inference: { hash: 'other' } }
      const again = plan({ workloads, move: { ...move, jobs, secrets } })
      expect(again.move?.phase).to.equal('Copying')
      expect(named(again, 'Job')[0]?.metadata.name).to.not.equal(jobs[0]!.metadata.name)
    })

    it('changes no pod that reads Redis before that', () => {
      const templates = (of: ReturnType<typeof plan>) =>
        named(of, 'Deployment').map(({ spec }) => (spec as { template: object }).template)
      expect(templates(copying)).to.deep.equal(templates(plan()))
      const back = plan({ pipeline: wanted, move: { ...move, wanted: pipeline } })
      expect(back.move?.phase).to.equal('Preparing')
      expect(named(back, 'StatefulSet')).to.have.length(1)
      expect(templates(back)).to.deep.equal(templates(plan({ pipeline: wanted })))
    })
  })

  it('names a Secret that is missing once, and lets those wait that never ran', () => {
    const problem = { reason: 'SecretMissing', message: 'Secret kafka does not exist', stalled: true }
    const { problems, desired } = plan({ secrets: { ...scope.secrets, consumer: { problem }, api: { problem } } })
    expect(problems).to.deep.equal([problem])
    expect(desired.flatMap(({ kind, metadata }) => (kind === 'Deployment' ? [metadata.name] : []))).to.deep.equal([
      'payments-inference',
    ])
  })
})
