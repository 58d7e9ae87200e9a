import { expect } from 'chai'
import { createManualClock } from '../lib/manual-clock.ts'
import { definitions, serviceMonitors } from './kinds.ts'
import { followOptionalKind } from './optional-kind.ts'
import { createCache } from './runtime/cache.ts'
import type { KubeClient, WatchOptions } from './runtime/kube-client.ts'
import type { KubeObject, Resource } from './runtime/kube-object.ts'
import { errorOfStatus } from './runtime/kube-status.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const monitor: KubeObject = {
  apiVersion: 'monitoring.coreos.com/v1',
  kind: 'ServiceMonitor',
  metadata: { name: 'a', namespace: 'n', resourceVersion: '5' },
}

function definition(resourceVersion: string, { established = 'True', version = 'v1', served = true } = {}): KubeObject {
  return {
    apiVersion: definitions.apiVersion,
    kind: definitions.kind,
    metadata: { name: 'servicemonitors.monitoring.coreos.com', resourceVersion },
    spec: { versions: [{ name: version, served }] },
    status: { conditions: [{ type: 'Established', status: established }] },
  } as KubeObject
}

describe('An optional kind', () => {
  /** A cluster with the definition, if any, and one object of the kind, which is listed while the kind is served. */
  async function follow(first?: KubeObject, isListed = true, { mayLook = true } = {}) {
    const clock = createManualClock()
    let isAllowed = mayLook
    const watches: WatchOptions[] = []
    let asked = 0
    const client = {
      async list(resource: Resource) {
        if (resource === definitions && !isAllowed) throw errorOfStatus('list', { code: 403, reason: 'Forbidden' }, 403)
        if (resource === definitions) return { items: first === undefined ? [] : [first], resourceVersion: '1' }
        asked++
        if (!isListed) throw errorOfStatus('list', { code: 404, reason: 'NotFound' }, 404)
        return { items: [monitor], resourceVersion: '5' }
      },
      async watch(resource: Resource, options: WatchOptions) {
        options.onOpen?.()
        if (resource === definitions) watches.push(options)
        await new Promise((_, reject) => options.signal?.addEventListener('abort', () => reject(new Error('ended'))))
      },
    } as unknown as KubeClient
    const cache = createCache()
    let comings = 0
    const kind = followOptionalKind({
      ...{ client, cache, clock, resource: serviceMonitors, log: silent, random: () => 0 },
      onServed: () => comings++,
    })
    await clock.advance(0)
    return {
      kind,
      cache,
      clock,
      async allow() {
        isAllowed = true
        await clock.advance(60_000)
      },
      comings: () => comings,
      asked: () => asked,
      async tell(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubeObject) {
        watches.at(-1)!.onEvent({ type, object })
        await clock.advance(0)
      },
    }
  }

  it('is followed from when its CRD is established until that goes, each time that it comes', async () => {
    const { kind, cache, comings, asked, tell } = await follow()
    await kind.synced
    for (const [n, from] of [1, 10].entries()) {
      await tell('ADDED', definition(String(from + 1), { established: 'False' }))
      expect([kind.isServed(), asked()]).to.deep.equal([false, n])
      await tell('MODIFIED', definition(String(from + 2)))
      expect([kind.isServed(), cache.size, comings(), asked()]).to.deep.equal([true, 1, n + 1, n + 1])
      await tell('DELETED', definition(String(from + 3)))
      expect([kind.isServed(), cache.size]).to.deep.equal([false, 0])
    }
    await kind.stop()
  })

  for (const [what, version] of [
    ['has no such version', { version: 'v1alpha1' }],
    ['does not serve the version', { served: false }],
  ] as const) {
    it(`is not waited for where its CRD ${what}`, async () => {
      const { kind, asked, tell, comings } = await follow(definition('1', version), false)
      expect([kind.hasSynced(), kind.isServed(), asked()]).to.deep.equal([true, false, 0])
      await tell('MODIFIED', definition('2'))
      expect([asked(), comings()]).to.deep.equal([1, 0])
      await kind.stop()
    })
  }

  it('is done without where its CRD may not be seen, until it may', async () => {
    const { kind, clock, allow } = await follow(definition('1'), true, { mayLook: false })
    await kind.synced
    await clock.advance(120_000)
    expect([kind.hasSynced(), kind.isServed(), kind.staleMs()]).to.deep.equal([true, false, 0])
    await allow()
    expect(kind.isServed()).to.equal(true)
    await kind.stop()
  })
})
