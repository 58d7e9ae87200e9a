import { expect } from 'chai'
import { withoutSecrets } from './support-report.ts'

const secret = 'hunter2'

describe('withoutSecrets', () => {
  it('leaves of a Secret the names of its entries', () => {
    const object = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'payments-redis', annotations: { 'kubectl.kubernetes.io/last-applied-configuration': secret } },
      type: 'Opaque',
      data: { password: secret },
      stringData: { other: secret },
    }
    const shown = withoutSecrets(object)
    expect(shown).to.deep.include({ kind: 'Secret', entries: ['password'] })
    expect(JSON.stringify(shown)).to.not.contain(secret)
  })

  it('hides the values of variables in pods, and in the document that asks for them', () => {
    const env = [
      { name: 'PASSWORD', value: secret },
      { name: 'URL', valueFrom: { secretKeyRef: { name: 'a', key: 'b' } } },
    ]
    for (const spec of [
      { template: { spec: { containers: [{ name: 'api', env, args: ['api'] }], initContainers: [{ env }] } } },
      { api: { template: { env, sidecars: [{ env }] } } },
    ]) {
      const shown = withoutSecrets({ apiVersion: 'v1', kind: 'X', metadata: { name: 'x' }, spec })
      expect(JSON.stringify(shown)).to.not.contain(secret)
      expect(JSON.stringify(shown)).to.contain('"PASSWORD"').and.to.contain('secretKeyRef')
    }
  })
})
