import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { createManualClock } from '../../lib/manual-clock.ts'
import { createCache } from './cache.ts'
import { type ControllerOptions, createController, ownerKey, ownKey } from './controller.ts'
import type { KubeObject, ObjectMeta } from './kube-object.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }

function object(name: string, metadata: Partial<ObjectMeta> = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Thing',
    metadata: { name, namespace: 'a', resourceVersion: '1', generation: 1, ...metadata },
  }
}

describe('Controller', () => {
  function harness(reconcile: ControllerOptions['reconcile']) {
    const clock = createManualClock()
    const cache = createCache()
    const controller = createController({
      sources: [{ cache, keys: ownKey }],
      reconcile,
      log: silent,
      clock,
      random: () => 0,
    })
    const stopping = new AbortController()
    return { clock, cache, controller, stopping }
  }

  it('begins with what the caches hold, follows changes, and can run again', async () => {
    const keys: string[] = []
    const { clock, cache, controller, stopping } = harness(async (key) => {
      keys.push(key)
      return undefined
    })
    cache.put(object('x'))
    const running = controller.run(stopping.signal)
    cache.put(object('y'))
    await clock.advance(0)
    expect(keys).to.deep.equal(['a/x', 'a/y'])
    stopping.abort()
    await running
    cache.put(object('z'))
    controller.enqueue('a/z')
    await clock.advance(0)
    expect(keys).to.have.length(2)
    const again = new AbortController()
    const second = controller.run(again.signal)
    await clock.advance(0)
    expect(keys.slice(2)).to.deep.equal(['a/x', 'a/y', 'a/z'])
    again.abort()
    await second
  })

  async function untilAborted(signal: AbortSignal): Promise<undefined> {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    throw signal.reason
  }

  it('lets reconciles end by themselves when it is stopped, but not for ever', async () => {
    const { clock, cache, controller, stopping } = harness((_, { signal }) => untilAborted(signal))
    let ended = false
    const running = controller.run(stopping.signal).then(() => {
      ended = true
    })
    cache.put(object('x'))
    await clock.advance(0)
    stopping.abort()
    await clock.advance(9_999)
    expect(ended).to.equal(false)
    await clock.advance(1)
    expect(ended).to.equal(true)
    await running
  })

  it('ends reconciles at once when the lease is lost', async () => {
    const { clock, cache, controller, stopping } = harness((_, { signal }) => untilAborted(signal))
    const running = controller.run(stopping.signal)
    cache.put(object('x'))
    await clock.advance(0)
    stopping.abort(new AppError('Fenced', 'lost'))
    await running
    expect(clock.monotonic()).to.equal(0)
  })
})

describe('ownKey', () => {
  const before = object('x')
  const updated = (metadata: Partial<ObjectMeta>) =>
    ownKey({ type: 'updated', previous: before, object: object('x', { resourceVersion: '2', ...metadata }) })

  it('is for what a person wants, not for what is', () => {
    expect(updated({})).to.deep.equal([])
    expect(updated({ generation: 2 })).to.deep.equal(['a/x'])
    expect(updated({ annotations: { a: 'b' } })).to.deep.equal(['a/x'])
    expect(updated({ labels: { a: 'b' } })).to.deep.equal(['a/x'])
    expect(updated({ deletionTimestamp: 'now' })).to.deep.equal(['a/x'])
    expect(ownKey({ type: 'deleted', object: before, previous: before })).to.deep.equal(['a/x'])
  })

  it('takes any change of a kind without generations', () => {
    const { generation: _, ...metadata } = before.metadata
    const without = (resourceVersion: string): KubeObject => ({ ...before, metadata: { ...metadata, resourceVersion } })
    expect(ownKey({ type: 'updated', previous: without('1'), object: without('2') })).to.deep.equal(['a/x'])
  })
})

describe('ownerKey', () => {
  const keys = ownerKey({ apiVersion: 'v1', kind: 'Owner' })
  const owned = (name: string, kind = 'Owner') =>
    object('x', { ownerReferences: [{ apiVersion: 'v1', kind, name, uid: name, controller: true }] })

  it('is the key of the controlling owner, now and before', () => {
    expect(keys({ type: 'added', object: owned('o') })).to.deep.equal(['a/o'])
    expect(keys({ type: 'updated', previous: owned('o'), object: owned('p') })).to.have.members(['a/p', 'a/o'])
    expect(keys({ type: 'updated', previous: owned('o'), object: object('x') })).to.deep.equal(['a/o'])
    expect(keys({ type: 'added', object: owned('o', 'Other') })).to.deep.equal([])
  })
})
