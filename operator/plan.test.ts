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

  it('names a Secret that is missing once, and lets those wait that never ran', () => {
    const problem = { reason: 'SecretMissing', message: 'Secret kafka does not exist', stalled: true }
    const { problems, desired } = plan({ secrets: { ...scope.secrets, consumer: { problem }, api: { problem } } })
    expect(problems).to.deep.equal([problem])
    expect(desired.flatMap(({ kind, metadata }) => (kind === 'Deployment' ? [metadata.name] : []))).to.deep.equal([
      'payments-inference',
    ])
  })
})
