import { expect } from 'chai'
import { createApplier } from '../../../operator/runtime/apply.ts'
import { createCache } from '../../../operator/runtime/cache.ts'
import { type Controller, createController, ownerKey, ownKey } from '../../../operator/runtime/controller.ts'
import { createEventRecorder } from '../../../operator/runtime/events.ts'
import { startInformer } from '../../../operator/runtime/informer.ts'
import { createKubeClient, type KubeClient } from '../../../operator/runtime/kube-client.ts'
import { type KubeObject, ownedBy, type Resource, splitKey } from '../../../operator/runtime/kube-object.ts'
import { keepOwnedFields } from '../../../operator/runtime/owned-fields.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const configMaps: Resource = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true }
const secrets: Resource = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true }
const events: Resource = { apiVersion: 'v1', kind: 'Event', plural: 'events', namespaced: true }
const namespaces: Resource = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false }

/** The smallest operator there is: for each ConfigMap labelled `parent`, a Secret of the same name. */
describe('Controller against an API server', () => {
  const cluster = useApiServer()
  let direct: KubeClient
  let controller: Controller
  let end: () => Promise<void>
  let reconciled: string[]

  before(async () => {
    direct = createKubeClient(cluster.server.kubeConfig, { userAgent: 'test' })
    for (const name of ['a', 'b', 'out']) {
      await direct.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    }
  })
  beforeEach(async () => {
    const client = createKubeClient(cluster.proxy.kubeConfig, { userAgent: 'test', deadlineMs: 2_000 })
    const watched = {
      client,
      log: silent,
      namespaces: ['a', 'b'],
      backoff: { baseMs: 20, maxMs: 500 },
      idleTimeoutMs: 5_000,
    }
    const keep = keepOwnedFields('test')
    const parents = startInformer({ ...watched, resource: configMaps, cache: createCache(), labelSelector: 'parent' })
    const children = startInformer({
      ...watched,
      resource: secrets,
      cache: createCache(),
      labelSelector: 'child',
      keep,
    })
    const kinds = [{ resource: secrets, cache: children.cache }]
    const applier = createApplier({ client, fieldManager: 'test', hashAnnotation: 'example.com/intent', kinds })
    reconciled = []
    controller = createController({
      log: silent,
      backoff: { baseMs: 20, maxMs: 500 },
      sources: [
        { cache: parents.cache, keys: ownKey },
        { cache: children.cache, keys: ownerKey({ apiVersion: 'v1', kind: 'ConfigMap' }) },
      ],
      async reconcile(key, { signal }) {
        reconciled.push(key)
        const parent = parents.cache.get(key)
        if (parent === undefined) return undefined
        if (key.endsWith('/broken')) throw new Error('always fails')
        const { failures } = await applier.sync(parent, [secretOf(parent)], { signal })
        if (failures[0] !== undefined) throw failures[0].error
        return undefined
      },
    })
    const stopping = new AbortController()
    await Promise.all([parents.synced, children.synced])
    const running = controller.run(stopping.signal)
    end = async () => {
      stopping.abort()
      await running
      await Promise.all([parents.stop(), children.stop()])
      client.close()
    }
  })
  afterEach(async () => {
    await end()
    for (const namespace of ['a', 'b', 'out']) {
      for (const resource of [configMaps, secrets]) {
        for (const { metadata } of (await direct.list(resource, { namespace })).items)
          await direct.delete(resource, metadata)
      }
    }
  })

  function secretOf(parent: KubeObject): KubeObject {
    const { name, namespace = '' } = parent.metadata
    const data = {
      value: Buffer.from(String((parent.data as { value?: string } | undefined)?.value)).toString('base64'),
    }
    const metadata = { name, namespace, labels: { child: '' }, ownerReferences: [ownedBy(parent)] }
    return { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data }
  }
  function putParent(key: string, value: string): Promise<KubeObject> {
    const { namespace, name } = splitKey(key)
    const metadata = { name, ...(namespace === undefined ? {} : { namespace }), labels: { parent: '' } }
    return direct.apply(
      configMaps,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { value } },
      { fieldManager: 'person', force: true },
    )
  }
  async function secretValue(key: string): Promise<string | undefined> {
    const secret = await direct.get(secrets, splitKey(key)).catch(() => undefined)
    const data = secret?.data as { value?: string } | undefined
    return data?.value === undefined ? undefined : Buffer.from(data.value, 'base64').toString()
  }
  function expectValue(key: string, value: string): Promise<void> {
    return eventually(async () => expect(await secretValue(key)).to.equal(value))
  }

  it('makes, follows and heals children in the namespaces it was given, and in no other', async () => {
    await putParent('out/x', '1')
    await putParent('a/x', '1')
    await putParent('b/y', '2')
    await expectValue('a/x', '1')
    await expectValue('b/y', '2')
    await putParent('a/x', '3')
    await expectValue('a/x', '3')
    await direct.patch(secrets, { namespace: 'a', name: 'x' }, { data: { value: 'ZWRpdGVk' } })
    await expectValue('a/x', '3')
    await direct.delete(secrets, { namespace: 'b', name: 'y' })
    await expectValue('b/y', '2')
    expect(await secretValue('out/x')).to.equal(undefined)
  })

  it('converges after the API server was away', async () => {
    await putParent('a/x', '1')
    await expectValue('a/x', '1')
    await cluster.server.kill()
    controller.enqueue('a/x')
    await cluster.server.restart()
    await putParent('a/x', '2')
    await putParent('a/new', '1')
    await expectValue('a/x', '2')
    await expectValue('a/new', '1')
  })

  it('converges through a storm of 429', async () => {
    const calm = cluster.proxy.fault({ kind: 'status', code: 429, retryAfterSeconds: 1 })
    cluster.proxy.cut()
    await Promise.all(Array.from({ length: 20 }, (_, index) => putParent(`a/s${index}`, 'x')))
    await eventually(() => expect(cluster.proxy.requests.length).to.be.greaterThan(5))
    cluster.proxy.clear()
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    expect(cluster.proxy.requests.length, 'calls while told to wait').to.be.lessThan(40)
    calm()
    for (let index = 0; index < 20; index++) await expectValue(`a/s${index}`, 'x')
  })

  it('does not let one that always fails delay the others', async () => {
    await putParent('a/broken', 'x')
    await eventually(() => expect(reconciled.filter((key) => key === 'a/broken').length).to.be.at.least(3))
    await Promise.all(Array.from({ length: 50 }, (_, index) => putParent(`b/n${index}`, 'x')))
    await eventually(async () => expect((await direct.list(secrets, { namespace: 'b' })).items).to.have.length(50))
    for (const { metadata } of (await direct.list(secrets, { namespace: 'b' })).items) {
      expect(reconciled.filter((key) => key === `b/${metadata.name}`).length).to.be.lessThan(4)
    }
  })

  it('is quiet when nothing changes', async () => {
    await putParent('a/x', '1')
    await expectValue('a/x', '1')
    await new Promise((resolve) => setTimeout(resolve, 300))
    cluster.proxy.clear()
    controller.enqueue('a/x')
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    expect(cluster.proxy.requests).to.deep.equal([])
  })

  it('writes events that are counted and combined', async () => {
    const parent = await putParent('a/x', '1')
    const client = createKubeClient(cluster.proxy.kubeConfig, { userAgent: 'test' })
    const recorder = createEventRecorder({
      client,
      component: 'tester',
      instance: 'pod-1',
      log: silent,
      combineAfter: 3,
    })
    for (let index = 0; index < 3; index++) recorder.record(parent, 'Warning', 'Same', 'the same again')
    for (let index = 0; index < 6; index++) recorder.record(parent, 'Normal', 'Many', `message ${index}`)
    await recorder.flush()
    const { items } = await direct.list(events, {
      namespace: 'a',
      fieldSelector: `involvedObject.uid=${parent.metadata.uid}`,
    })
    const lines = items.map((event) => `${event.count} ${event.type} ${event.reason}: ${event.message}`).sort()
    expect(lines).to.deep.equal([
      '1 Normal Many: message 0',
      '1 Normal Many: message 1',
      '1 Normal Many: message 2',
      '3 Normal Many: (combined from similar events) message 5',
      '3 Warning Same: the same again',
    ])
    client.close()
  })
})
