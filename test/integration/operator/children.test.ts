import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { parseAllDocuments } from 'yaml'
import * as kinds from '../../../operator/kinds.ts'
import type { KubeObject, Resource } from '../../../operator/runtime/kube-object.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, traffic, useOperator } from '../../harness/operator.ts'

const manifests = join(import.meta.dirname, '../../../operator/desired/manifests')
const text = { type: 'string' }
const rules = { type: 'array', items: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }
const texts = { type: 'object', additionalProperties: text }
/** As far as this operator uses it, the kind of the Prometheus operator. */
const serviceMonitorSchema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: {
        selector: { type: 'object', properties: { matchLabels: texts } },
        endpoints: {
          type: 'array',
          items: { type: 'object', properties: { port: text, interval: text, relabelings: rules } },
        },
      },
    },
  },
}

describe('Operator: from a pipeline to its children', () => {
  const cluster = useApiServer({ controllerManager: true })
  const bench = useOperator(cluster)

  it('makes everything that a pipeline of one line asks for', async () => {
    const namespace = await bench.namespace()
    await bench.start()
    await bench.apply(namespace)
    await eventually(async () =>
      expect(await bench.children(namespace)).to.deep.equal([
        'ConfigMap payments-pipeline',
        'Deployment payments-api',
        'Deployment payments-consumer',
        'Deployment payments-inference',
        'HorizontalPodAutoscaler payments-consumer',
        'NetworkPolicy payments-api',
        'NetworkPolicy payments-consumer',
        'NetworkPolicy payments-inference',
        'NetworkPolicy payments-redis',
        'PodDisruptionBudget payments-api',
        'PodDisruptionBudget payments-consumer',
        'PodDisruptionBudget payments-inference',
        'PodDisruptionBudget payments-redis',
        'Secret payments-redis',
        'Secret payments-signing',
        'Service payments-api',
        'Service payments-api-pods',
        'Service payments-consumer',
        'Service payments-inference',
        'Service payments-redis',
        'ServiceAccount payments',
        'StatefulSet payments-redis',
      ]),
    )
  })

  /** Makes the API server serve ServiceMonitors; returns how to remove the kind. */
  async function serveMonitors(): Promise<() => Promise<unknown>> {
    const { apiVersion, kind, plural } = kinds.serviceMonitors
    const [group, name] = apiVersion.split('/')
    const version = { name, served: true, storage: true, schema: { openAPIV3Schema: serviceMonitorSchema } }
    const definition = {
      apiVersion: kinds.definitions.apiVersion,
      kind: kinds.definitions.kind,
      metadata: { name: `${plural}.${group}` },
      spec: { group, scope: 'Namespaced', names: { kind, plural }, versions: [version] },
    }
    await bench.client.create(kinds.definitions, definition)
    await eventually(() => bench.client.list(kinds.serviceMonitors))
    return async () => {
      await bench.client.delete(kinds.definitions, definition.metadata)
      await eventually(async () => {
        const gone = await bench.client.list(kinds.serviceMonitors).then(
          () => false,
          () => true,
        )
        expect(gone).to.equal(true)
      })
    }
  }

  for (const file of readdirSync(manifests))
    it(`makes no manifest with a field that an API server does not know: ${file}`, async () => {
      const namespace = await bench.namespace()
      const removeMonitors = await serveMonitors()
      const resources: readonly Resource[] = [...kinds.childKinds, kinds.serviceMonitors]
      for (const document of parseAllDocuments(readFileSync(join(manifests, file), 'utf8'))) {
        const object = document.toJS() as KubeObject
        const { apiVersion, plural } = resources.find(({ kind }) => kind === object.kind)!
        const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
        const path = `${root}/namespaces/${namespace}/${plural}/${object.metadata.name}`
        const query = 'fieldManager=test&fieldValidation=Strict&dryRun=All'
        const answer = await fetch(`${cluster.proxy.url}${path}?${query}`, {
          method: 'PATCH',
          headers: {
            authorization: `Bearer ${cluster.server.token}`,
            'content-type': 'application/apply-patch+yaml',
          },
          body: JSON.stringify({ ...object, metadata: { ...object.metadata, namespace } }),
        })
        expect([answer.status, answer.status < 300 ? '' : await answer.text()], path).to.deep.equal([201, ''])
      }
      await removeMonitors()
    })

  it('has Prometheus scrape its workloads where its operator is installed, and goes on when that is removed', async () => {
    const namespace = await bench.namespace()
    const removeMonitors = await serveMonitors()
    const operator = await bench.start()
    await bench.apply(namespace)
    const monitor = () => bench.get(kinds.serviceMonitors, namespace, 'payments')
    await eventually(monitor)
    await bench.client.delete(kinds.serviceMonitors, { namespace, name: 'payments' })
    await eventually(monitor)
    const services = (await bench.client.list(kinds.services, { namespace })).items
    const { selector } = (await monitor()).spec as { selector: { matchLabels: Readonly<Record<string, string>> } }
    const scraped = services.filter(
      ({ metadata, spec }) =>
        Object.entries(selector.matchLabels).every(([label, value]) => metadata.labels?.[label] === value) &&
        (spec as { ports?: { name: string }[] }).ports?.some(({ name }) => name === 'metrics'),
    )
    expect(scraped.map(({ metadata }) => metadata.name)).to.have.members([
      'payments-consumer',
      'payments-inference',
      'payments-api',
    ])
    await bench.untilReady(namespace)
    await removeMonitors()
    await bench.apply(namespace, { ...minimalSpec, api: { replicas: 3 } })
    await bench.untilReady(namespace)
    await eventually(() => expect(operator.cacheProblem()).to.equal(undefined))
    expect(await bench.condition(namespace, 'Stalled')).to.equal(undefined)
  })

  it('has Prometheus scrape its workloads when its operator comes later, or once more, and asks for nothing until then', async () => {
    const namespace = await bench.namespace()
    await bench.start()
    await bench.apply(namespace)
    await bench.untilReady(namespace)
    await bench.quiet()
    for (const _ of ['later', 'once more']) {
      cluster.proxy.clear()
      await bench.quiet(1_500)
      expect(traffic(cluster)).to.deep.equal([])
      const removeMonitors = await serveMonitors()
      await eventually(() => bench.get(kinds.serviceMonitors, namespace, 'payments'))
      await bench.quiet()
      await removeMonitors()
      await bench.quiet()
    }
    expect(await bench.condition(namespace, 'Ready')).to.equal('True AllReady')
  })

  it('writes and reads nothing in a second reconcile', async () => {
    const namespace = await bench.namespace()
    await bench.start()
    await bench.apply(namespace)
    await eventually(async () => expect(await bench.condition(namespace, 'Ready')).to.equal('False RedisNotReady'))
    await bench.untilReady(namespace)
    expect(await bench.requestsOfTouch(namespace)).to.deep.equal([])
  })

  it('puts its status right where another changed it, and then is quiet', async () => {
    const namespace = await bench.namespace()
    await bench.start()
    await bench.apply(namespace)
    await bench.untilReady(namespace)
    await bench.quiet()
    const before = await bench.status(namespace)
    cluster.proxy.clear()
    const status = { conditions: null, components: { api: { summary: '9/9' } } }
    const key = { namespace, name: 'payments' }
    await bench.client.patch(kinds.pipelines, key, { status }, { subresource: 'status' })
    await eventually(async () => {
      const after = await bench.status(namespace)
      expect(after.components).to.deep.equal(before.components)
      expect(after.conditions?.map(({ type }) => type)).to.deep.equal(before.conditions?.map(({ type }) => type))
    })
    await bench.quiet()
    expect(traffic(cluster).filter((call) => !call.includes('/events'))).to.deep.equal([
      `apply /apis/anomaly.com/v1alpha1/namespaces/${namespace}/anomalypipelines/payments/status`,
    ])
  })

  it('writes nothing, not even a status, when it is started again and its pipelines are applied again', async () => {
    const namespace = await bench.namespace()
    const spec = {
      source: {
        brokers: ['localhost:1'],
        sasl: { mechanism: 'ScramSha512', secretRef: { name: 'kafka-user' } },
      },
    }
    const data = { username: 'dXNlcg==', password: 'cGFzcw==' }
    const metadata = { name: 'kafka-user', namespace }
    await bench.client.create(kinds.secrets, { apiVersion: 'v1', kind: 'Secret', metadata, data })
    const first = await bench.start()
    await bench.apply(namespace, spec)
    await bench.untilReady(namespace)
    await bench.quiet()
    await bench.stop(first)
    const before = bench.reconciles(namespace)
    cluster.proxy.clear()
    await bench.start()
    await bench.apply(namespace, spec)
    await eventually(() => expect(bench.reconciles(namespace)).to.be.greaterThan(before + 1))
    await bench.quiet()
    // What it reads is the first lists and its CRD.
    const reads = /^(list |get .*\/customresourcedefinitions\/)/
    expect(traffic(cluster).filter((call) => !reads.test(call))).to.deep.equal([])
    expect(await bench.condition(namespace, 'Ready')).to.equal('True AllReady')
  })
})
