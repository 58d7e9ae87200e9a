import { expect } from 'chai'
import { describeObject } from '../runtime/kube-object.ts'
import { desired } from './desired.ts'
import { needsOf } from './needs.ts'
import { testObserved, testParent } from './test-parent.ts'

const settings = { workloadImage: 'anomaly:1', redisImage: 'redis:8', logLevel: 'info' }

describe('needsOf', () => {
  const parent = testParent()
  const objects = desired(parent, testObserved(parent), settings)
  const needs = (name: string) =>
    needsOf(parent, objects.find((object) => describeObject(object) === name)!).map((one) =>
      one.replace('shop/payments', '*'),
    )

  it('lets nothing run as, read or call what belongs to somebody else', () => {
    expect(needs('Deployment shop/payments-consumer')).to.include.members([
      'ServiceAccount *',
      'ConfigMap *-pipeline',
      'Secret *-redis',
      'Secret *-signing',
      'Service *-redis',
      'Service *-inference',
      'NetworkPolicy *-consumer',
    ])
    expect(needs('Deployment shop/payments-inference')).to.not.include('Secret *-signing')
    expect(needs('StatefulSet shop/payments-redis')).to.include.members(['ServiceAccount *', 'Secret *-redis'])
    expect(needs('Service shop/payments-api')).to.deep.equal([])
  })

  it('names only what is applied before', () => {
    const names = objects.map(describeObject)
    for (const [index, object] of objects.entries())
      for (const needed of needsOf(parent, object)) {
        const at = names.indexOf(needed)
        if (at >= 0) expect(at, `${needed} for ${names[index]}`).to.be.below(index)
      }
  })
})
