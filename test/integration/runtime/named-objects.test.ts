import { expect } from 'chai'
import { createKubeClient, type KubeClient } from '../../../operator/runtime/kube-client.ts'
import type { Resource } from '../../../operator/runtime/kube-object.ts'
import { createNamedObjects, type NamedObjects } from '../../../operator/runtime/named-objects.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'

const secrets: Resource = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true }
const silent = { debug() {}, info() {}, warn() {}, error() {} }

describe('Named objects against an API server', () => {
  const cluster = useApiServer()
  let direct: KubeClient
  let named: NamedObjects
  let told: string[]

  before(() => {
    direct = createKubeClient(cluster.server.kubeConfig, { userAgent: 'test' })
  })
  beforeEach(() => {
    const client = createKubeClient(cluster.proxy.kubeConfig, { userAgent: 'test' })
    told = []
    const changed = (users: readonly string[]): void => void told.push(...users)
    named = createNamedObjects({ client, resource: secrets, log: silent, changed })
  })
  afterEach(async () => {
    await named.stop()
    for (const { metadata } of (await direct.list(secrets)).items) await direct.delete(secrets, metadata)
  })

  function put(name: string, value: string) {
    const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' }, data: { value } }
    return direct.apply(secrets, object, { fieldManager: 'person', force: true })
  }

  it('tells the users of an object of each change, and that it is missing', async () => {
    await put('unnamed', 'YQ==')
    named.use('one', ['default/s'])
    named.use('two', ['default/s'])
    expect(named.get('default/s')).to.equal(undefined)
    await eventually(() => expect(named.get('default/s')).to.equal(null))
    await eventually(() => expect(told).to.deep.equal(['one', 'two']))
    await put('s', 'YQ==')
    await eventually(() => expect(named.get('default/s')?.data).to.deep.equal({ value: 'YQ==' }))
    expect(told).to.deep.equal(['one', 'two', 'one', 'two'])
    await put('s', 'Yg==')
    await eventually(() => expect(told).to.have.length(6))
    await direct.delete(secrets, { namespace: 'default', name: 's' })
    await eventually(() => expect(named.get('default/s')).to.equal(null))
    expect(told).to.have.length(8)
    for (const { query } of cluster.proxy.requests) expect(query.get('fieldSelector')).to.equal('metadata.name=s')
  })

  it('lets go what nobody uses any more', async () => {
    await put('s', 'YQ==')
    named.use('one', ['default/s'])
    named.use('two', ['default/s'])
    await eventually(() => expect(named.get('default/s')).to.be.an('object'))
    named.use('one', [])
    expect(named.get('default/s')).to.be.an('object')
    named.use('two', ['default/other'])
    expect(named.get('default/s')).to.equal(undefined)
    await eventually(() => expect(named.get('default/other')).to.equal(null))
    told = []
    await put('s', 'Yg==')
    await put('other', 'Yg==')
    await eventually(() => expect(named.get('default/other')).to.be.an('object'))
    expect(told).to.deep.equal(['two'])
  })
})
