import { expect } from 'chai'
import { groupOf, rivalOf, sharingGroup } from './group-rival.ts'
import { createCache } from './runtime/cache.ts'

function pipeline(name: string, created: string, source: object = {}) {
  const metadata = { name, namespace: 'shop', uid: `uid-${name}`, creationTimestamp: created }
  const spec = { source: { brokers: ['kafka:9092'], topic: 'events', groupId: 'g', ...source } }
  return { apiVersion: 'anomaly.com/v1alpha1', kind: 'AnomalyPipeline', metadata, spec }
}
const older = pipeline('older', '2025-06-01T12:00:00Z')
const newer = pipeline('newer', '2025-06-02T12:00:00Z')

function cacheOf(...objects: readonly ReturnType<typeof pipeline>[]) {
  const cache = createCache({ group: groupOf })
  for (const object of objects) cache.put(object)
  return cache
}

describe('rivalOf', () => {
  it('is the older one of two that read one topic as one group', () => {
    const cache = cacheOf(newer, older)
    expect(rivalOf(newer, cache)).to.equal('shop/older')
    expect(rivalOf(older, cache)).to.equal(undefined)
    expect(sharingGroup(older, cache)).to.deep.equal(['shop/newer'])
  })

  it('is nobody where topic, group or brokers differ, or the other is going', () => {
    const cache = cacheOf(older)
    for (const source of [{ topic: 'others' }, { groupId: 'h' }, { groupId: undefined }, { brokers: ['other:9092'] }])
      expect(rivalOf(pipeline('newer', '2025-06-02T12:00:00Z', source), cache)).to.equal(undefined)
    const going = { ...older, metadata: { ...older.metadata, deletionTimestamp: 'now' } }
    expect(rivalOf(newer, cacheOf(going))).to.equal(undefined)
  })

  it('knows that no two default groups come to the same', () => {
    const named = (namespace: string, name: string) => ({
      ...older,
      metadata: { ...older.metadata, namespace, name },
      spec: { source: { brokers: ['kafka:9092'] } },
    })
    expect(groupOf(named('team-a', 'b'))).not.to.deep.equal(groupOf(named('team', 'a-b')))
  })
})
