import { expect } from 'chai'
import { type Applier, createApplier } from '../../../operator/runtime/apply.ts'
import { createCache } from '../../../operator/runtime/cache.ts'
import { createKubeClient, type KubeClient } from '../../../operator/runtime/kube-client.ts'
import { type KubeObject, keyOf, ownedBy, type Resource } from '../../../operator/runtime/kube-object.ts'
import { statusOf } from '../../../operator/runtime/kube-status.ts'
import { keepOwnedFields } from '../../../operator/runtime/owned-fields.ts'
import { type Reflector, startReflector } from '../../../operator/runtime/reflector.ts'
import type { ChildKind } from '../../../operator/runtime/sync.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'

const fieldManager = 'tester'
const hashAnnotation = 'example.com/intent'
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const configMaps: Resource = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true }
const secrets: Resource = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true }
const services: Resource = { apiVersion: 'v1', kind: 'Service', plural: 'services', namespaced: true }
const deployments: Resource = { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments', namespaced: true }
const autoscalers: Resource = {
  apiVersion: 'autoscaling/v2',
  kind: 'HorizontalPodAutoscaler',
  plural: 'horizontalpodautoscalers',
  namespaced: true,
}
const policies: Resource = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  namespaced: true,
}
const budgets: Resource = {
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  plural: 'poddisruptionbudgets',
  namespaced: true,
}
const namespaces: Resource = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false }
const resources = [configMaps, secrets, services, deployments, autoscalers, policies, budgets]
const writes = ['create', 'update', 'apply', 'patch', 'delete'] as const

describe('Applier against an API server', () => {
  const cluster = useApiServer({ controllerManager: true })
  let direct: KubeClient
  let client: KubeClient
  let applier: Applier
  let kinds: ChildKind[]
  let reflectors: Reflector[]
  let owner: KubeObject
  let namespace: string
  let count = 0

  before(() => {
    direct = createKubeClient(cluster.server.kubeConfig, { userAgent: 'test' })
    client = createKubeClient(cluster.proxy.kubeConfig, { userAgent: 'test' })
  })
  beforeEach(async () => {
    namespace = `apply-${++count}`
    await direct.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    owner = await direct.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'owner', namespace },
    })
    await startProcess()
    cluster.proxy.clear()
  })
  afterEach(() => stopProcess())

  async function startProcess(): Promise<void> {
    const keep = keepOwnedFields(fieldManager)
    kinds = resources.map((resource) => ({ resource, cache: createCache() }))
    reflectors = kinds.map(({ resource, cache }) =>
      startReflector({ client, resource, cache, namespace, log: silent, keep }),
    )
    applier = createApplier({ client, fieldManager, hashAnnotation, kinds })
    await Promise.all(reflectors.map((reflector) => reflector.synced))
    await eventually(() =>
      expect(
        cluster.proxy.requests.filter(({ verb, status }) => verb === 'watch' && status === 200).length,
      ).to.be.at.least(resources.length),
    )
  }
  async function stopProcess(): Promise<void> {
    await Promise.all(reflectors.map((reflector) => reflector.stop()))
  }
  function cacheOf(resource: Resource) {
    return kinds.find((kind) => kind.resource === resource)!.cache
  }
  /** Waits until the cache has seen the version that the API server has. */
  async function seen(resource: Resource, name: string): Promise<void> {
    const { metadata } = await direct.get(resource, { namespace, name })
    await eventually(() =>
      expect(cacheOf(resource).get(`${namespace}/${name}`)?.metadata.resourceVersion).to.equal(
        metadata.resourceVersion,
      ),
    )
  }
  function child(resource: Resource, name: string, fields: Record<string, unknown>): KubeObject {
    const { apiVersion, kind } = resource
    return {
      apiVersion,
      kind,
      metadata: { name, namespace, labels: { app: 'x' }, ownerReferences: [ownedBy(owner)] },
      ...fields,
    }
  }
  function deployment(image = 'a:1'): KubeObject {
    const container = {
      name: 'main',
      image,
      ports: [{ name: 'http', containerPort: 8080 }],
      env: [
        { name: 'A', value: '1' },
        { name: 'B', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      ],
      resources: { requests: { cpu: '1000m', memory: '1024Mi' } },
      securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
      readinessProbe: { httpGet: { path: '/readyz', port: 'http' } },
      volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
    }
    return child(deployments, 'main', {
      spec: {
        selector: { matchLabels: { app: 'x' } },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: {
          metadata: { labels: { app: 'x' }, annotations: {} },
          spec: {
            containers: [container],
            volumes: [{ name: 'tmp', emptyDir: {} }],
            tolerations: [],
            topologySpreadConstraints: [
              {
                maxSkew: 1,
                topologyKey: 'zone',
                whenUnsatisfiable: 'ScheduleAnyway',
                labelSelector: { matchLabels: { app: 'x' } },
              },
            ],
          },
        },
      },
    })
  }
  function everything(): KubeObject[] {
    return [
      child(configMaps, 'main', { data: { 'pipeline.yaml': 'a: 1\n' } }),
      child(secrets, 'main', { type: 'Opaque', data: { key: 'YQ==' } }),
      child(services, 'main', {
        spec: { selector: { app: 'x' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
      }),
      child(services, 'headless', {
        spec: { clusterIP: 'None', selector: { app: 'x' }, ports: [{ name: 'grpc', port: 50051 }] },
      }),
      deployment(),
      child(autoscalers, 'main', {
        spec: {
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'main' },
          minReplicas: 1,
          maxReplicas: 3,
          metrics: [
            { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } } },
          ],
          behavior: { scaleDown: { policies: [{ type: 'Percent', value: 50, periodSeconds: 60 }] } },
        },
      }),
      child(policies, 'main', {
        spec: {
          podSelector: { matchLabels: { app: 'x' } },
          policyTypes: ['Ingress'],
          ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 8080 }] }],
        },
      }),
      child(budgets, 'main', { spec: { maxUnavailable: 1, selector: { matchLabels: { app: 'x' } } } }),
    ]
  }
  async function sync(desired: readonly KubeObject[]): Promise<string[]> {
    const { applied, pruned, failures } = await applier.sync(owner, desired)
    expect(failures.map(({ error }) => (error as Error).message)).to.deep.equal([])
    const words = applied
      .filter(({ outcome }) => outcome !== 'unchanged')
      .map(({ object, outcome }) => `${outcome} ${object.kind} ${object.metadata.name}`)
    return [...words, ...pruned.map((object) => `pruned ${object.kind} ${object.metadata.name}`)]
  }

  it('creates what is missing, then neither writes nor reads anything', async () => {
    expect(await sync(everything())).to.have.length(everything().length)
    cluster.proxy.clear()
    expect(await sync(everything())).to.deep.equal([])
    expect(cluster.proxy.requests).to.deep.equal([])
  })

  it('writes nothing after a restart either', async () => {
    await sync(everything())
    await stopProcess()
    await startProcess()
    cluster.proxy.clear()
    expect(await sync(everything())).to.deep.equal([])
    expect(cluster.proxy.count(writes)).to.equal(0)
    expect(cluster.proxy.count(['get'])).to.equal(0)
  })

  it('writes only what changed, and takes back a field that is no longer intended', async () => {
    await sync(everything())
    const [first, ...rest] = everything()
    expect(await sync([{ ...first!, data: { other: 'b' } }, ...rest])).to.deep.equal(['updated ConfigMap main'])
    expect((await direct.get(configMaps, { namespace, name: 'main' })).data).to.deep.equal({ other: 'b' })
  })

  const drifts: readonly [string, Resource, Record<string, unknown>][] = [
    ['a value', configMaps, { data: { 'pipeline.yaml': 'edited' } }],
    ['a removed field', configMaps, { data: { 'pipeline.yaml': null } }],
    ['a removed label', configMaps, { metadata: { labels: { app: null } } }],
    ['a number', autoscalers, { spec: { maxReplicas: 30 } }],
    ['a list that is one value', autoscalers, { spec: { metrics: [] } }],
    [
      'a rule added to a policy',
      policies,
      {
        spec: {
          ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 8080 }] }, { from: [{ namespaceSelector: {} }] }],
        },
      },
    ],
    ['a selector widened', services, { spec: { selector: { app: 'x', and: 'more' } } }],
    [
      'a container',
      deployments,
      { spec: { template: { spec: { containers: [{ name: 'main', image: 'other:1' }] } } } },
    ],
    ['a strategy', deployments, { spec: { strategy: { rollingUpdate: { maxUnavailable: 1 } } } }],
  ]
  for (const [what, resource, patch] of drifts) {
    it(`heals ${what}`, async () => {
      await sync(everything())
      const before = await direct.get(resource, { namespace, name: 'main' })
      await direct.patch(resource, { namespace, name: 'main' }, patch)
      await seen(resource, 'main')
      expect(await sync(everything())).to.deep.equal([`healed ${resource.kind} main`])
      const after = await direct.get(resource, { namespace, name: 'main' })
      expect(after.spec ?? after.data).to.deep.equal(before.spec ?? before.data)
      expect(after.metadata.labels).to.deep.equal(before.metadata.labels)
      expect(after.metadata.ownerReferences).to.deep.equal(before.metadata.ownerReferences)
      cluster.proxy.clear()
      expect(await sync(everything())).to.deep.equal([])
      expect(cluster.proxy.requests).to.deep.equal([])
    })
  }

  it('creates a deleted object again', async () => {
    await sync(everything())
    await direct.delete(configMaps, { namespace, name: 'main' })
    await eventually(() => expect(cacheOf(configMaps).get(`${namespace}/main`)).to.equal(undefined))
    expect(await sync(everything())).to.deep.equal(['created ConfigMap main'])
  })

  it('leaves alone what others add: a sidecar, an annotation, replicas', async () => {
    await sync(everything())
    const others = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'main', namespace, annotations: { other: 'x' } },
      spec: { replicas: 4, template: { spec: { containers: [{ name: 'sidecar', image: 's:1' }] } } },
    }
    await direct.apply(deployments, others, { fieldManager: 'other', force: true })
    await seen(deployments, 'main')
    cluster.proxy.clear()
    expect(await sync(everything())).to.deep.equal([])
    expect(cluster.proxy.requests).to.deep.equal([])
    expect(
      await sync(everything().map((object) => (object.kind === 'Deployment' ? deployment('a:2') : object))),
    ).to.deep.equal(['updated Deployment main'])
    const { spec, metadata } = (await direct.get(deployments, { namespace, name: 'main' })) as KubeObject & {
      spec: { replicas: number; template: { spec: { containers: { name: string; image: string }[] } } }
    }
    expect(spec.replicas).to.equal(4)
    expect(spec.template.spec.containers.map(({ image }) => image)).to.have.members(['a:2', 's:1'])
    expect(metadata.annotations).to.include({ other: 'x' })
  })

  it('deletes what is no longer desired, and nothing else', async () => {
    await sync(everything())
    await direct.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'foreign', namespace, labels: { app: 'x' } },
    })
    await seen(configMaps, 'foreign')
    const kept = everything().filter(
      (object) => object.kind !== 'HorizontalPodAutoscaler' && keyOf(object) !== `${namespace}/headless`,
    )
    expect(await sync(kept)).to.have.members(['pruned HorizontalPodAutoscaler main', 'pruned Service headless'])
    cluster.proxy.clear()
    expect(await sync(kept)).to.deep.equal([])
    expect(cluster.proxy.requests).to.deep.equal([])
    expect(cacheOf(configMaps).get(`${namespace}/foreign`)).to.not.equal(undefined)
  })

  it('refuses an object of the same name that belongs to somebody else, seen or not', async () => {
    await direct.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'main', namespace },
      data: { precious: 'yes' },
    })
    const { failures, applied } = await applier.sync(owner, everything())
    expect(failures.map(({ error }) => (error as Error).message)).to.deep.equal([
      `Cannot apply ConfigMap ${namespace}/main: it exists already and belongs to nobody; rename or delete it`,
    ])
    expect(applied).to.have.length(everything().length - 1)
    expect((await direct.get(configMaps, { namespace, name: 'main' })).data).to.deep.equal({ precious: 'yes' })
  })

  it('refuses an object that was cut loose, or that only carries its marks', async () => {
    await sync(everything())
    await direct.patch(configMaps, { namespace, name: 'main' }, { metadata: { ownerReferences: [] } })
    await seen(configMaps, 'main')
    const { failures } = await applier.sync(owner, everything())
    expect(failures.map(({ error }) => (error as Error).message)).to.deep.equal([
      `Cannot apply ConfigMap ${namespace}/main: it exists already and belongs to nobody; rename or delete it`,
    ])
  })

  it('does not take over what took the place of one of its own before that was seen', async () => {
    await sync(everything())
    await seen(configMaps, 'main')
    await stopProcess()
    await direct.delete(configMaps, { namespace, name: 'main' })
    const data = { precious: 'yes' }
    await direct.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'main', namespace },
      data,
    })
    const changed = child(configMaps, 'main', { data: { other: 'b' } })
    const error = await applier.apply(changed).catch((reason: unknown) => reason)
    expect(statusOf(error)).to.include({ code: 409, reason: 'Conflict' })
    expect((await direct.get(configMaps, { namespace, name: 'main' })).data).to.deep.equal(data)
  })

  it('leaves alone what needs an object that failed, and what needs that', async () => {
    await direct.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'main', namespace } })
    const needs = ({ kind }: KubeObject) =>
      kind === 'Deployment'
        ? [`ConfigMap ${namespace}/main`]
        : kind === 'HorizontalPodAutoscaler'
          ? [`Deployment ${namespace}/main`]
          : []
    const { skipped, failures } = await applier.sync(owner, everything(), { needs })
    expect(failures).to.have.length(1)
    expect(skipped.map(({ kind }) => kind)).to.deep.equal(['Deployment', 'HorizontalPodAutoscaler'])
  })

  it('says who changed what it healed', async () => {
    await sync(everything())
    const object = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'main', namespace },
      data: { 'pipeline.yaml': 'b' },
    }
    await direct.apply(configMaps, object, { fieldManager: 'somebody', force: true })
    await seen(configMaps, 'main')
    const { applied } = await applier.sync(owner, everything())
    expect(applied.flatMap(({ drift }) => drift ?? [])).to.deep.equal([{ fields: ['data'], managers: ['somebody'] }])
  })

  it('does not fight over a field that the API server will not give it', async () => {
    const plain = child(secrets, 'main', { data: { key: 'YQ==' } })
    const intent = { ...plain, metadata: { ...plain.metadata, generation: 7 } }
    await applier.apply(intent)
    await direct.patch(secrets, { namespace, name: 'main' }, { metadata: { annotations: { other: 'x' } } })
    await seen(secrets, 'main')
    cluster.proxy.clear()
    await applier.apply(intent)
    expect(cluster.proxy.requests).to.deep.equal([])
  })

  it('lets the children go with their owner', async () => {
    await sync(everything())
    await direct.delete(configMaps, { namespace, name: 'owner' })
    await eventually(() => {
      const left = kinds.flatMap(({ cache }) =>
        [...cache.values()].filter((object) => object.metadata.labels?.app === 'x'),
      )
      expect(left.map((object) => `${object.kind} ${object.metadata.name}`)).to.deep.equal([])
    })
  })
})
