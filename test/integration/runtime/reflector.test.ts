import { expect } from 'chai'
import { type Cache, createCache } from '../../../operator/runtime/cache.ts'
import { createKubeClient, type KubeClient } from '../../../operator/runtime/kube-client.ts'
import type { KubeObject, Resource } from '../../../operator/runtime/kube-object.ts'
import { type Reflector, startReflector } from '../../../operator/runtime/reflector.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'

const configMaps: Resource = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true }
const namespaces: Resource = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false }
const silent = { debug() {}, info() {}, warn() {}, error() {} }

describe('Reflector against an API server', () => {
  const cluster = useApiServer()
  let direct: KubeClient
  let throughProxy: KubeClient
  let namespace: string
  let cache: Cache
  let reflector: Reflector
  let count = 0

  before(() => {
    direct = createKubeClient(cluster.server.kubeConfig, { userAgent: 'test' })
    throughProxy = createKubeClient(cluster.proxy.kubeConfig, { userAgent: 'test', deadlineMs: 2_000 })
  })
  beforeEach(async () => {
    namespace = `reflector-${++count}`
    await direct.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    await Promise.all(Array.from({ length: 7 }, (_, index) => put(`object-${index}`, 'first')))
    cache = createCache()
  })
  afterEach(async () => {
    await reflector?.stop()
  })

  function put(name: string, value: string): Promise<KubeObject> {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data: { value } }
    return direct.apply(configMaps, object, { fieldManager: 'test', force: true })
  }
  async function start(options: { idleTimeoutMs?: number } = {}): Promise<void> {
    const backoff = { baseMs: 20, maxMs: 200 }
    reflector = startReflector({
      client: throughProxy,
      resource: configMaps,
      namespace,
      cache,
      log: silent,
      pageSize: 3,
      backoff,
      ...options,
    })
    await reflector.synced
    await eventually(() =>
      expect(cluster.proxy.requests.some(({ verb, status }) => verb === 'watch' && status === 200)).to.equal(true),
    )
  }
  /** Changes one of each way, and waits until the cache is exactly what the API server has. */
  async function changeAndCompare(value: string): Promise<void> {
    await put('object-1', value)
    await put(`new-${value}`, value)
    await direct.delete(configMaps, { namespace, name: 'object-2' }).catch(() => {})
    await compare()
  }
  async function compare(): Promise<void> {
    const { items } = await direct.list(configMaps, { namespace })
    const wanted = Object.fromEntries(items.map((item) => [item.metadata.name, item.metadata.resourceVersion]))
    await eventually(() => {
      const got = [...cache.values()].map((item) => [item.metadata.name, item.metadata.resourceVersion])
      expect(Object.fromEntries(got)).to.deep.equal(wanted)
    })
  }

  it('lists page by page, drops managedFields and follows changes', async () => {
    await start()
    await changeAndCompare('second')
    expect(cluster.proxy.count(['list'])).to.equal(3)
    expect(cluster.proxy.count(['watch'])).to.equal(1)
    const object = cache.get(`${namespace}/object-1`)
    expect(object).to.include({ apiVersion: 'v1', kind: 'ConfigMap' })
    expect(object?.metadata).not.to.have.property('managedFields')
  })

  it('goes on from where it was after its connection is reset', async () => {
    await start()
    cluster.proxy.clear()
    cluster.proxy.cut()
    await changeAndCompare('after-reset')
    expect(cluster.proxy.count(['list'])).to.equal(0)
  })

  it('goes on after the API server answers 500 for a while', async () => {
    await start()
    cluster.proxy.fault({ kind: 'status', code: 500 }, { verbs: ['watch'], times: 3 })
    cluster.proxy.cut()
    await changeAndCompare('after-500')
  })

  it('waits as long as a 429 asks', async () => {
    await start()
    cluster.proxy.fault({ kind: 'status', code: 429, retryAfterSeconds: 1 }, { times: 2 })
    cluster.proxy.cut()
    const from = performance.now()
    await changeAndCompare('after-429')
    expect(performance.now() - from).to.be.greaterThan(1_900)
  })

  it('lists anew when the API server has forgotten its version', async () => {
    await start()
    cluster.proxy.fault({ kind: 'status', code: 410 }, { verbs: ['watch'], times: 1 })
    cluster.proxy.clear()
    cluster.proxy.cut()
    await changeAndCompare('after-410')
    expect(cluster.proxy.count(['list'])).to.be.greaterThan(0)
  })

  it('lists anew when the watch itself says so', async () => {
    await start()
    cluster.proxy.clear()
    const status = {
      kind: 'Status',
      apiVersion: 'v1',
      code: 410,
      reason: 'Expired',
      message: 'too old resource version',
    }
    cluster.proxy.writeIntoWatches(`${JSON.stringify({ type: 'ERROR', object: status })}\n`)
    await changeAndCompare('after-error-event')
    expect(cluster.proxy.count(['list'])).to.be.greaterThan(0)
  })

  it('lists anew after a line that is not JSON', async () => {
    await start()
    cluster.proxy.clear()
    cluster.proxy.writeIntoWatches('{"type":"MODIFIED","object":{"metadata":\n')
    await changeAndCompare('after-bad-json')
    expect(cluster.proxy.count(['list'])).to.be.greaterThan(0)
  })

  it('notices a watch that fell silent', async () => {
    await start({ idleTimeoutMs: 500 })
    cluster.proxy.silenceWatches()
    await changeAndCompare('after-silence')
  })

  it('notices an API server that takes connections and says nothing', async () => {
    await start({ idleTimeoutMs: 500 })
    const end = cluster.proxy.blackhole()
    await put('object-3', 'meanwhile')
    await eventually(() => expect(reflector.staleMs()).to.be.greaterThan(1_000))
    end()
    await changeAndCompare('after-blackhole')
    await eventually(() => expect(reflector.staleMs()).to.equal(0))
  })

  it('survives a list that expires between two pages', async () => {
    cluster.proxy.fault({ kind: 'status', code: 410 }, { verbs: ['list'], times: 1, query: 'continue=' })
    await start()
    await changeAndCompare('after-expired-page')
  })

  it('converges after the API server was killed and started again', async () => {
    await start()
    await cluster.server.kill()
    await eventually(() => expect(reflector.staleMs()).to.be.greaterThan(0))
    await cluster.server.restart()
    await changeAndCompare('after-restart')
  })

  it('holds of a selection only what is selected', async () => {
    const object = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'labelled', namespace, labels: { a: 'b' } },
    }
    await direct.create(configMaps, object)
    reflector = startReflector({
      client: throughProxy,
      resource: configMaps,
      namespace,
      cache,
      log: silent,
      labelSelector: 'a=b',
    })
    await reflector.synced
    expect([...cache.values()].map((item) => item.metadata.name)).to.deep.equal(['labelled'])
    await direct.patch(configMaps, { namespace, name: 'labelled' }, { metadata: { labels: { a: null } } })
    await eventually(() => expect(cache.size).to.equal(0))
  })
})
