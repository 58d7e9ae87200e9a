import { expect } from 'chai'
import { parse } from 'yaml'
import { crd } from '../../../lib/pipeline/crd.ts'
import { checkPipeline, parsePipeline } from '../../../lib/pipeline/parse-pipeline.ts'
import * as kinds from '../../../operator/kinds.ts'
import type { KubeObject } from '../../../operator/runtime/kube-object.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, traffic, useOperator } from '../../harness/operator.ts'

const sasl = { mechanism: 'ScramSha512', secretRef: { name: 'kafka-user' } }
const secured = { source: { brokers: ['localhost:1'], sasl } }

describe('Operator: documents and Secrets', () => {
  const cluster = useApiServer()
  const bench = useOperator(cluster)
  let namespace: string

  beforeEach(async () => {
    namespace = await bench.namespace()
  })

  function putSecret(password: string, name = 'kafka-user'): Promise<KubeObject> {
    const data = { username: 'dXNlcg==', password: Buffer.from(password).toString('base64') }
    const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, type: 'Opaque', data }
    return bench.client.apply(kinds.secrets, object, { fieldManager: 'person', force: true })
  }
  /** Generation and template of each Deployment: the former changes with every write to its spec. */
  async function deployments() {
    const { items } = await bench.client.list(kinds.deployments, { namespace })
    return new Map(
      items.map(({ metadata, spec }) => [metadata.name, JSON.stringify((spec as { template: unknown }).template)]),
    )
  }
  const events = async () => (await bench.events(namespace)).map((event) => event.split(' ').slice(0, 2).join(' '))

  it('leaves a pipeline of the former release its topics, whatever becomes of its document, and gives a new one its own', async () => {
    const fieldsOf = (definition: KubeObject) => {
      const { versions } = definition.spec as ReturnType<typeof crd>['spec']
      return versions[0]!.schema.openAPIV3Schema.properties!.spec!.properties!.results!.properties!
    }
    const former = crd() as unknown as KubeObject
    const named = { topic: 'anomaly-results', deadLetterTopic: 'anomaly-events-dlq' }
    for (const [field, name] of Object.entries(named)) Object.assign(fieldsOf(former)[field]!, { default: name })
    const resultsOf = async (name: string) => {
      const { data } = await bench.get(kinds.configMaps, namespace, `${name}-pipeline`)
      return parsePipeline(parse((data as Record<string, string>)['pipeline.yaml']!)).spec.results
    }
    await bench.client.patch(kinds.definitions, former.metadata, { spec: former.spec })
    await eventually(async () => {
      await bench.client.delete(kinds.pipelines, { namespace, name: 'payments' }).catch(() => {})
      await bench.apply(namespace)
      expect((await bench.get(kinds.pipelines, namespace, 'payments')).spec).to.deep.include({
        results: { ...named, publish: 'All' },
      })
    })
    await bench.client.patch(kinds.definitions, former.metadata, {
      spec: { ...crd().spec, versions: crd().spec.versions },
    })
    await bench.start()
    await eventually(async () => expect((await bench.status(namespace)).results).to.deep.equal(named))
    expect(await resultsOf('payments')).to.include(named)
    // As kubectl replace does with a file that names no topic.
    await bench.client.patch(
      kinds.pipelines,
      { namespace, name: 'payments' },
      { spec: { results: null, desiredState: 'Paused' } },
    )
    await eventually(async () => expect((await bench.status(namespace)).observedGeneration).to.equal(2))
    await eventually(async () =>
      expect((await bench.get(kinds.pipelines, namespace, 'payments')).spec).to.deep.include({
        results: { publish: 'All' },
      }),
    )
    expect(await resultsOf('payments')).to.include(named)
    await bench.apply(namespace, undefined, { name: 'new' })
    await eventually(async () =>
      expect(await resultsOf('new')).to.include({ topic: 'new-verdicts', deadLetterTopic: 'new-dead-letters' }),
    )
  })

  it('waits for a Secret that is missing, says so, and goes on when it appears', async () => {
    await bench.start()
    await bench.apply(namespace, secured)
    await eventually(async () => expect(await bench.condition(namespace, 'Stalled')).to.equal('True SecretMissing'))
    await eventually(async () => expect([...(await deployments()).keys()]).to.deep.equal(['payments-inference']))
    await eventually(async () => expect(await events()).to.include('Warning SecretMissing'))
    await putSecret('one')
    await eventually(async () => expect((await deployments()).size).to.equal(3))
    await bench.untilReady(namespace)
    expect(await bench.condition(namespace, 'Stalled')).to.equal(undefined)
    await eventually(async () => expect(await events()).to.include('Normal AllReady'))
  })

  it('rolls those who read a Secret once when it changes, and nobody when it goes', async () => {
    await putSecret('one')
    await bench.start()
    await bench.apply(namespace, secured)
    await eventually(async () => expect((await deployments()).size).to.equal(3))
    await bench.quiet(300)
    const before = await deployments()
    cluster.proxy.clear()
    await putSecret('two')
    await eventually(async () =>
      expect((await deployments()).get('payments-api')).to.not.equal(before.get('payments-api')),
    )
    await bench.quiet(300)
    const rotated = await deployments()
    expect(rotated.get('payments-consumer')).to.not.equal(before.get('payments-consumer'))
    expect(rotated.get('payments-inference')).to.equal(before.get('payments-inference'))
    expect(traffic(cluster).filter((call) => call.includes('/deployments/'))).to.have.length(2)
    await bench.client.delete(kinds.secrets, { namespace, name: 'kafka-user' })
    await eventually(async () => expect(await bench.condition(namespace, 'Ready')).to.equal('False SecretMissing'))
    expect(await deployments()).to.deep.equal(rotated)
  })

  it('says that a Secret cannot be read, and goes on when it can', async () => {
    await putSecret('one')
    const allowed = cluster.proxy.fault(
      { kind: 'status', code: 403 },
      { verbs: ['list', 'watch'], query: 'metadata.name%3Dkafka-user' },
    )
    await bench.start()
    await bench.apply(namespace, secured)
    await eventually(async () => expect(await bench.condition(namespace, 'Ready')).to.equal('False SecretUnreadable'))
    allowed()
    await eventually(async () => expect((await deployments()).size).to.equal(3))
    await bench.untilReady(namespace)
  })

  it('keeps what Secrets hold out of status, events and labels', async () => {
    await putSecret('hunter2')
    await bench.start()
    await bench.apply(namespace, secured)
    await eventually(async () => expect((await deployments()).size).to.equal(3))
    await bench.quiet(300)
    const all = await Promise.all(
      [kinds.pipelines, kinds.configMaps, kinds.deployments].map((kind) => bench.client.list(kind, { namespace })),
    )
    const written = JSON.stringify(all)
    expect(written).to.not.contain('hunter2')
    expect(written).to.not.contain(Buffer.from('hunter2').toString('base64'))
  })

  it('rolls nothing for an edit of maxReplicas, and everything for a new restart-at', async () => {
    await bench.start()
    await bench.apply(namespace)
    await eventually(() => bench.get(kinds.autoscalers, namespace, 'payments-consumer'))
    await bench.quiet(300)
    const before = await deployments()
    await bench.apply(namespace, { ...minimalSpec, consumer: { autoscaling: { maxReplicas: 3 } } })
    await eventually(async () => {
      const { spec } = await bench.get(kinds.autoscalers, namespace, 'payments-consumer')
      expect((spec as { maxReplicas: number }).maxReplicas).to.equal(3)
    })
    await bench.quiet(300)
    expect(await deployments()).to.deep.equal(before)
    await bench.apply(namespace, minimalSpec, { annotations: { 'anomaly.com/restart-at': '2025-06-01' } })
    await eventually(async () => {
      for (const [name, template] of await deployments()) expect(template).to.not.equal(before.get(name))
    })
  })

  it('tells what is wrong with a document that the API server let through, and keeps the last valid one running', async () => {
    // A CRD without the rules and limits, as one that somebody loosened would be.
    const strict = crd() as unknown as KubeObject
    const loose = JSON.parse(
      JSON.stringify(strict, (name, value: unknown) => (name === 'x-kubernetes-validations' ? undefined : value)),
    ) as KubeObject
    await bench.client.apply(kinds.definitions, loose, { fieldManager: 'test', force: true })
    await bench.client.update(kinds.definitions, {
      ...(await bench.client.get(kinds.definitions, { name: strict.metadata.name })),
      spec: loose.spec,
    })
    try {
      await bench.start()
      await bench.apply(namespace)
      await eventually(async () => expect((await deployments()).size).to.equal(3))
      await bench.quiet(300)
      const before = await deployments()
      const spec = { ...minimalSpec, consumer: { replicas: 2, autoscaling: {} } }
      await eventually(() => bench.apply(namespace, spec))
      await eventually(async () => expect(await bench.condition(namespace, 'SpecValid')).to.equal('False InvalidSpec'))
      const { conditions = [] } = await bench.status(namespace)
      const said = conditions.find(({ type }) => type === 'SpecValid')?.message
      const { issues = [] } = checkPipeline(await bench.get(kinds.pipelines, namespace, 'payments'))
      expect(issues).to.have.length(1)
      expect(said).to.equal(`${issues[0]!.line}\nWhat the last valid document asked for keeps running.`)
      expect(await deployments()).to.deep.equal(before)
      await bench.client.delete(kinds.pipelines, { namespace, name: 'payments' })
    } finally {
      const { metadata } = await bench.client.get(kinds.definitions, { name: strict.metadata.name })
      await bench.client.update(kinds.definitions, { ...strict, metadata })
    }
  })

  it('refuses a second pipeline on one topic with one group, naming the first, until that is gone', async () => {
    await bench.start()
    const source = { ...minimalSpec.source, groupId: 'shared' }
    await bench.apply(namespace, { source }, { name: 'first' })
    await eventually(() => bench.get(kinds.deployments, namespace, 'first-api'))
    const other = await bench.namespace()
    // Times of creation are in whole seconds.
    await new Promise((resolve) => setTimeout(resolve, 1100))
    await bench.apply(other, { source }, { name: 'second' })
    await eventually(async () => expect(await bench.condition(other, 'Stalled', 'second')).to.equal('True GroupTaken'))
    const { conditions = [] } = await bench.status(other, 'second')
    expect(conditions.find(({ type }) => type === 'Ready')?.message).to.contain(`AnomalyPipeline ${namespace}/first`)
    expect(await bench.children(other)).to.deep.equal([])
    await bench.client.delete(kinds.pipelines, { namespace, name: 'first' })
    await eventually(() => bench.get(kinds.deployments, other, 'second-api'))
  })

  it('tells of an affinity that no pod can have, and goes on when it is corrected', async () => {
    await bench.start()
    const api = { template: { affinity: { nodeAfinity: {} } } }
    await bench.apply(namespace, { ...minimalSpec, api })
    await eventually(async () => expect(await bench.condition(namespace, 'Stalled')).to.equal('True ApplyRefused'))
    const field = 'spec.api.template.affinity.nodeAfinity'
    await eventually(async () => expect((await bench.events(namespace)).join()).to.contain(field))
    expect(await bench.condition(namespace, 'SpecValid')).to.equal('False Refused')
    await bench.apply(namespace)
    await bench.untilReady(namespace)
  })

  it('does no half-work with a CRD that lacks a field, and says which', async () => {
    const full = crd() as unknown as KubeObject
    const old = JSON.parse(
      JSON.stringify(full, (name, value: unknown) => (name === 'refractorySeconds' ? undefined : value)),
    ) as KubeObject
    const { metadata } = await bench.client.get(kinds.definitions, { name: full.metadata.name })
    await bench.client.update(kinds.definitions, { ...old, metadata })
    try {
      const operator = await bench.start()
      await bench.apply(namespace)
      await eventually(async () => expect(await bench.condition(namespace, 'Ready')).to.equal('False CrdOutdated'))
      expect(operator.crdProblem()).to.contain('spec.detection.refractorySeconds')
      expect(await bench.children(namespace)).to.deep.equal([])
      const now = await bench.client.get(kinds.definitions, { name: full.metadata.name })
      await bench.client.update(kinds.definitions, { ...full, metadata: now.metadata })
      await eventually(async () => expect((await deployments()).size).to.equal(3))
      expect(operator.crdProblem()).to.equal(undefined)
    } finally {
      const now = await bench.client.get(kinds.definitions, { name: full.metadata.name })
      await bench.client.update(kinds.definitions, { ...full, metadata: now.metadata })
    }
  })
})
