import { expect } from 'chai'
import { createCache } from './cache.ts'
import type { KubeObject } from './kube-object.ts'

function object(name: string, version: number, owner?: string, namespace = 'a'): KubeObject {
  const ownerReferences = owner === undefined ? [] : [{ apiVersion: 'v1', kind: 'Owner', name: owner, uid: owner }]
  return {
    apiVersion: 'v1',
    kind: 'Thing',
    metadata: { name, namespace, resourceVersion: String(version), ownerReferences },
  }
}

describe('Cache', () => {
  function harness() {
    const cache = createCache({ byName: ({ metadata }) => [metadata.name] })
    const changes: string[] = []
    cache.subscribe(({ type, object: { metadata }, previous }) => {
      changes.push(`${type} ${metadata.name} ${previous?.metadata.resourceVersion ?? '-'}>${metadata.resourceVersion}`)
    })
    return { cache, changes }
  }

  it('tells what changed from what', () => {
    const { cache, changes } = harness()
    cache.put(object('x', 1))
    cache.put(object('x', 2))
    cache.remove(object('x', 3))
    expect(changes).to.deep.equal(['added x ->1', 'updated x 1>2', 'deleted x 2>3'])
    expect(cache.size).to.equal(0)
  })

  it('keeps the newer version, whatever comes later', () => {
    const { cache, changes } = harness()
    cache.put(object('x', 10))
    cache.put(object('x', 9))
    cache.put(object('x', 10))
    cache.remove(object('x', 8))
    expect(changes).to.deep.equal(['added x ->10'])
    expect(cache.get('a/x')?.metadata.resourceVersion).to.equal('10')
  })

  it('takes over a list: what is missing is gone, what is newer than the list stays', () => {
    const { cache, changes } = harness()
    for (const [name, version] of [
      ['gone', 1],
      ['same', 2],
      ['written', 50],
    ] as const)
      cache.put(object(name, version))
    changes.length = 0
    cache.replace([object('same', 2), object('new', 30)], '40')
    expect(changes).to.deep.equal(['deleted gone 1>1', 'added new ->30'])
    expect([...cache.values()].map(({ metadata }) => metadata.name)).to.have.members(['same', 'written', 'new'])
  })

  it('takes over a list of one namespace without touching the others', () => {
    const { cache } = harness()
    cache.put(object('x', 1, undefined, 'a'))
    cache.put(object('x', 1, undefined, 'b'))
    cache.replace([], '9', ({ metadata }) => metadata.namespace === 'b')
    expect([...cache.values()].map(({ metadata }) => metadata.namespace)).to.deep.equal(['a'])
  })

  it('finds objects by owner and by index, as they are now', () => {
    const { cache } = harness()
    cache.put(object('x', 1, 'one'))
    cache.put(object('y', 1, 'one'))
    cache.put(object('y', 2, 'two'))
    const names = (objects: readonly KubeObject[]) => objects.map(({ metadata }) => metadata.name)
    expect(names(cache.ownedBy('one'))).to.deep.equal(['x'])
    expect(names(cache.ownedBy('two'))).to.deep.equal(['y'])
    expect(names(cache.indexed('byName', 'y'))).to.deep.equal(['y'])
    cache.remove(object('y', 3))
    expect(cache.ownedBy('two')).to.deep.equal([])
    expect(() => cache.indexed('none', 'y')).to.throw(RangeError, 'no index named none')
  })
})
