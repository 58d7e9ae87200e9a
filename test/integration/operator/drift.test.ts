import { expect } from 'chai'
import * as kinds from '../../../operator/kinds.ts'
import type { KubeObject, Resource } from '../../../operator/runtime/kube-object.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, useOperator } from '../../harness/operator.ts'

/** A change to each kind of child that its owner would not want, and what it is after that. */
const drifts = [
  { resource: kinds.configMaps, name: 'payments-pipeline', patch: { data: { 'pipeline.yaml': 'gone' } } },
  { resource: kinds.secrets, name: 'payments-signing', patch: { metadata: { labels: null } } },
  { resource: kinds.serviceAccounts, name: 'payments', patch: { automountServiceAccountToken: true } },
  {
    resource: kinds.services,
    name: 'payments-api',
    patch: { spec: { selector: { 'app.kubernetes.io/component': 'consumer' } } },
  },
  { resource: kinds.statefulSets, name: 'payments-redis', patch: { spec: { replicas: 3 } } },
  { resource: kinds.deployments, name: 'payments-api', patch: { spec: { replicas: 7 } } },
  { resource: kinds.autoscalers, name: 'payments-consumer', patch: { spec: { maxReplicas: 99 } } },
  { resource: kinds.disruptionBudgets, name: 'payments-api', patch: { spec: { maxUnavailable: 5 } } },
  { resource: kinds.networkPolicies, name: 'payments-redis', patch: { spec: { ingress: [{}] } } },
] as const

describe('Operator: drift', () => {
  const cluster = useApiServer({ controllerManager: true })
  const bench = useOperator(cluster)
  let namespace: string

  beforeEach(async () => {
    namespace = await bench.namespace()
    await bench.start()
    await bench.apply(namespace)
    await eventually(() => bench.get(kinds.autoscalers, namespace, 'payments-consumer'))
    await bench.quiet(300)
  })

  /** What the operator said, without what the API server and others add. */
  function intent({ metadata, status: _, ...fields }: KubeObject): unknown {
    const { labels, annotations } = metadata
    return { ...fields, labels, annotations }
  }

  it('is healed in every kind of child', async () => {
    for (const { resource, name, patch } of drifts) {
      const before = await bench.get(resource, namespace, name)
      const changed = await bench.client.patch(resource, { namespace, name }, patch)
      expect(intent(changed), `${resource.kind}: the change`).to.not.deep.equal(intent(before))
      await eventually(async () => {
        const after = await bench.get(resource, namespace, name)
        expect(intent(after), resource.kind).to.deep.equal(intent(before))
      })
    }
  })

  /** Each child, by kind and name. */
  async function children() {
    const all: { resource: Resource; name: string }[] = []
    for (const child of await bench.children(namespace)) {
      const [kind, name = ''] = child.split(' ')
      all.push({ resource: kinds.childKinds.find((one) => one.kind === kind)!, name })
    }
    expect(all).to.have.length(22)
    return all
  }

  it('is healed in every child, and told', async () => {
    const metadata = { labels: { 'app.kubernetes.io/part-of': 'other' } }
    for (const { resource, name } of await children()) {
      const before = await bench.get(resource, namespace, name)
      await bench.client.patch(resource, { namespace, name }, { metadata })
      await eventually(async () =>
        expect(intent(await bench.get(resource, namespace, name)), name).to.deep.equal(intent(before)),
      )
    }
    await eventually(async () => {
      const events = await bench.events(namespace)
      expect(events.join('\n')).to.contain('Normal DriftHealed Deployment').and.to.contain('set right')
    })
  })

  it('is healed when a child is deleted, and the made-up values of Secrets are new only then', async () => {
    const signing = () => bench.get(kinds.secrets, namespace, 'payments-signing')
    const before = await signing()
    for (const { resource, name } of await children()) {
      // With a Deployment its HPA goes for a moment.
      await eventually(() => bench.get(resource, namespace, name))
      const { uid } = (await bench.get(resource, namespace, name)).metadata
      await bench.client.delete(resource, { namespace, name })
      await eventually(async () => expect((await bench.get(resource, namespace, name)).metadata.uid).to.not.equal(uid))
    }
    expect((await signing()).data).to.not.deep.equal(before.data)
    await eventually(children)
  })

  it('of a name that another has taken is left to people, and said', async () => {
    const key = { namespace, name: 'payments-api' }
    const mine = { apiVersion: 'v1', kind: 'Service', metadata: key, spec: { ports: [{ port: 80 }] } }
    await bench.client.delete(kinds.pipelines, { namespace, name: 'payments' })
    await eventually(async () => expect(await bench.children(namespace)).to.deep.equal([]))
    await bench.client.create(kinds.services, mine)
    await bench.apply(namespace)
    await eventually(async () => expect(await bench.condition(namespace, 'Stalled')).to.equal('True NameTaken'))
    expect((await bench.get(kinds.services, namespace, 'payments-api')).metadata.ownerReferences).to.equal(undefined)
    await eventually(async () => {
      const events = (await bench.events(namespace)).join('\n')
      expect(events).to.contain(`Warning NameTaken Cannot apply Service ${namespace}/payments-api`)
    })
    await bench.client.delete(kinds.services, key)
    await bench.apply(namespace, minimalSpec, { annotations: { freed: 'yes' } })
    await bench.untilReady(namespace)
  })

  it('makes nothing that would run as, read or call what another has put in the place of a child', async () => {
    await bench.client.delete(kinds.pipelines, { namespace, name: 'payments' })
    await eventually(async () => expect(await bench.children(namespace)).to.deep.equal([]))
    const metadata = { name: 'payments', namespace }
    await bench.client.create(kinds.serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata })
    await bench.apply(namespace)
    await eventually(async () => expect(await bench.condition(namespace, 'Stalled')).to.equal('True NameTaken'))
    await bench.quiet(300)
    expect(
      (await bench.children(namespace)).filter((child) => /^(Deployment|StatefulSet|Horizontal)/.test(child)),
    ).to.deep.equal([])
    await bench.client.delete(kinds.serviceAccounts, metadata)
    await bench.apply(namespace, minimalSpec, { annotations: { freed: 'yes' } })
    await bench.untilReady(namespace)
  })

  it('of a Secret whose name another took leaves what runs as it is', async () => {
    await bench.untilReady(namespace)
    const template = async () =>
      ((await bench.get(kinds.deployments, namespace, 'payments-api')).spec as { template: unknown }).template
    const before = await template()
    const key = { namespace, name: 'payments-redis' }
    const url = Buffer.from('redis://elsewhere:6379').toString('base64')
    // In one moment, as somebody would who knows how.
    await bench.client.patch(kinds.secrets, key, { metadata: { ownerReferences: [] }, data: { url } })
    await eventually(async () => expect(await bench.condition(namespace, 'Stalled')).to.equal('True NameTaken'))
    await bench.apply(namespace, { ...minimalSpec, detection: { onModelUnavailable: 'Wait' } })
    await bench.quiet(500)
    expect(await template()).to.deep.equal(before)
    expect(((await bench.get(kinds.secrets, namespace, 'payments-redis')).data as { url: string }).url).to.equal(url)
  })

  it('adopts nothing that only carries its marks, and takes none of its entries away', async () => {
    await bench.client.delete(kinds.pipelines, { namespace, name: 'payments' })
    await eventually(async () => expect(await bench.children(namespace)).to.deep.equal([]))
    const labels = { 'app.kubernetes.io/managed-by': 'anomaly-operator' }
    const data = { mine: 'precious' }
    const object = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'payments-pipeline', namespace, labels },
      data,
    }
    await bench.client.apply(kinds.configMaps, object, { fieldManager: 'anomaly-operator', force: true })
    await bench.apply(namespace)
    await eventually(async () => expect(await bench.condition(namespace, 'Stalled')).to.equal('True NameTaken'))
    await bench.quiet(300)
    expect((await bench.get(kinds.configMaps, namespace, 'payments-pipeline')).data).to.deep.equal(data)
  })

  it('is told with who changed what, in the log and in one event', async () => {
    const key = { namespace, name: 'payments-redis' }
    const spec = { podSelector: {}, ingress: [{}] }
    const object = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: key, spec }
    await bench.client.apply(kinds.networkPolicies, object, { fieldManager: 'somebody', force: true })
    await eventually(async () => {
      const healed = (await bench.events(namespace)).find((event) => event.includes('DriftHealed NetworkPolicy'))
      expect(healed).to.match(
        /DriftHealed NetworkPolicy payments-redis: .*spec\.ingress.* changed by somebody; set right/,
      )
    })
    expect(bench.logged()).to.include.members(
      (await bench.events(namespace)).map((event) => event.split(' ').slice(2).join(' ')),
    )
  })

  it('goes on being told after a hundred times', async () => {
    for (let port = 1; port <= 40; port++) {
      await bench.client.patch(
        kinds.services,
        { namespace, name: 'payments-api' },
        { spec: { selector: { n: String(port), 'app.kubernetes.io/component': 'x' } } },
      )
      await eventually(async () => {
        const { spec } = await bench.get(kinds.services, namespace, 'payments-api')
        expect((spec as { selector: Record<string, string> }).selector['app.kubernetes.io/component']).to.equal('api')
      })
    }
    await bench.client.delete(kinds.services, { namespace, name: 'payments-api' })
    await eventually(async () =>
      expect((await bench.events(namespace)).join('\n')).to.contain('Created Service payments-api created'),
    )
  })

  it('never overwrites the signing key, even where its Secret is out of sight', async () => {
    const key = { namespace, name: 'payments-signing' }
    const before = await bench.client.get(kinds.secrets, key)
    await bench.client.patch(kinds.secrets, key, { metadata: { labels: null } })
    await eventually(async () =>
      expect((await bench.client.get(kinds.secrets, key)).metadata.labels).to.not.equal(undefined),
    )
    expect((await bench.client.get(kinds.secrets, key)).data).to.deep.equal(before.data)
  })

  it('leaves fields of others alone: a sidecar, an annotation', async () => {
    const key = { namespace, name: 'payments-api' }
    const sidecar = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { ...key, annotations: { note: 'mine' } } }
    const containers = [{ name: 'proxy', image: 'proxy:1' }]
    await bench.client.apply(
      kinds.deployments,
      { ...sidecar, spec: { template: { spec: { containers } } } },
      { fieldManager: 'injector', force: true },
    )
    await bench.apply(namespace, { ...minimalSpec, api: { replicas: 5 } })
    await eventually(async () => {
      const { metadata, spec } = await bench.client.get(kinds.deployments, key)
      const { replicas, template } = spec as {
        replicas: number
        template: { spec: { containers: { name: string }[] } }
      }
      expect(replicas).to.equal(5)
      expect(metadata.annotations?.note).to.equal('mine')
      expect(template.spec.containers.map(({ name }) => name)).to.have.members(['api', 'proxy'])
    })
  })

  it('prunes what is no longer asked for, and nothing else', async () => {
    await bench.client.create(kinds.configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'payments-mine', namespace },
    })
    await bench.apply(namespace, {
      ...minimalSpec,
      consumer: { replicas: 1 },
      network: { policy: 'Disabled' },
    })
    await eventually(async () => {
      const children = await bench.children(namespace)
      expect(children.filter((child) => /^(Horizontal|Network)/.test(child))).to.deep.equal([])
      expect(children).to.have.length(17)
    })
    await bench.get(kinds.configMaps, namespace, 'payments-mine')
  })

  it('is not healed by guess where reconcile is misspelt: that is said', async () => {
    await bench.apply(namespace, minimalSpec, { annotations: { 'anomaly.com/reconcile': 'disabled' } })
    await eventually(async () => expect(await bench.condition(namespace, 'SpecValid')).to.equal('False InvalidSpec'))
    await bench.client.patch(kinds.deployments, { namespace, name: 'payments-api' }, { spec: { replicas: 9 } })
    await bench.quiet(500)
    expect(
      ((await bench.get(kinds.deployments, namespace, 'payments-api')).spec as { replicas: number }).replicas,
    ).to.equal(9)
  })

  it('is left alone with reconcile: Disabled', async () => {
    await bench.apply(namespace, minimalSpec, { annotations: { 'anomaly.com/reconcile': 'Disabled' } })
    await eventually(async () =>
      expect(await bench.condition(namespace, 'Ready')).to.equal('Unknown ReconcileDisabled'),
    )
    await bench.client.patch(kinds.deployments, { namespace, name: 'payments-api' }, { spec: { replicas: 9 } })
    await bench.quiet(500)
    const { spec } = await bench.get(kinds.deployments, namespace, 'payments-api')
    expect((spec as { replicas: number }).replicas).to.equal(9)
    await bench.apply(namespace, minimalSpec, { annotations: {} })
    await eventually(async () => {
      const healed = await bench.get(kinds.deployments, namespace, 'payments-api')
      expect((healed.spec as { replicas: number }).replicas).to.equal(2)
    })
  })

  it('leaves nothing behind when the pipeline is deleted', async () => {
    // The garbage collector looks for new kinds every 30 seconds.
    await bench.client.delete(kinds.pipelines, { namespace, name: 'payments' })
    await eventually(async () => expect(await bench.children(namespace)).to.deep.equal([]))
  })
})
