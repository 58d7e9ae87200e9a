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

  it('names a Secret that is missing once, and lets those wait that never ran', () => {
    const problem = { reason: 'SecretMissing', message: 'Secret kafka does not exist', stalled: true }
    const { problems, desired } = plan({ secrets: { ...scope.secrets, consumer: { problem }, api: { problem } } })
    expect(problems).to.deep.equal([problem])
    expect(desired.flatMap(({ kind, metadata }) => (kind === 'Deployment' ? [metadata.name] : []))).to.deep.equal([
      'payments-inference',
    ])
  })
})
