import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect } from 'chai'
import type { PipelineStatus } from '../../../lib/pipeline/status.ts'
import * as kinds from '../../../operator/kinds.ts'
import type { KubeObject, Resource } from '../../../operator/runtime/kube-object.ts'
import { binary } from '../../../tools/servers/binaries/binaries.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, quietTopic, useOperator } from '../../harness/operator.ts'

const run = promisify(execFile)
const namespaced = (apiVersion: string, kind: string, plural: string): Resource => ({
  apiVersion,
  kind,
  plural,
  namespaced: true,
})
const quotas = namespaced('v1', 'ResourceQuota', 'resourcequotas')
const claims = namespaced('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims')
const volumes: Resource = { apiVersion: 'v1', kind: 'PersistentVolume', plural: 'persistentvolumes', namespaced: false }
const classes: Resource = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  plural: 'storageclasses',
  namespaced: false,
}
const replicaSets = namespaced('apps/v1', 'ReplicaSet', 'replicasets')
const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' }
const person = { fieldManager: 'person', force: true }
const selection = (of: unknown) => (of as { matchLabels: Readonly<Record<string, string>> }).matchLabels

describe('Operator: with the controllers of workloads', () => {
  const cluster = useApiServer({
    controllerManager: [
      'deployment-controller',
      'disruption-controller',
      'garbage-collector-controller',
      'horizontal-pod-autoscaler-controller',
      'namespace-controller',
      'persistentvolume-binder-controller',
      'persistentvolumeclaim-protection-controller',
      'replicaset-controller',
      'resourcequota-controller',
      'statefulset-controller',
    ],
  })
  const bench = useOperator(cluster)
  let kubectl: string
  let namespace: string

  before('build kubectl', async function () {
    this.timeout(0)
    kubectl = await binary('kubectl')
  })
  beforeEach(async () => {
    namespace = await bench.namespace(restricted)
  })

  const list = async (resource: Resource): Promise<readonly KubeObject[]> =>
    (await bench.client.list(resource, { namespace })).items
  /** Makes a quota, and waits until the API server keeps to it. */
  async function limit(name: string, hard: Readonly<Record<string, string>>): Promise<void> {
    const metadata = { name, namespace }
    await bench.client.create(quotas, { apiVersion: 'v1', kind: 'ResourceQuota', metadata, spec: { hard } })
    await eventually(async () => expect((await bench.get(quotas, namespace, name)).status).to.deep.include({ hard }))
  }
  const podsOf = async (component: string, name = 'payments') =>
    (await list(kinds.pods)).filter(
      ({ metadata: { labels, deletionTimestamp } }) =>
        labels?.['app.kubernetes.io/component'] === component &&
        labels['app.kubernetes.io/instance'] === name &&
        deletionTimestamp === undefined,
    )
  const imageOf = ({ spec }: KubeObject) => (spec as { containers: { image: string }[] }).containers[0]!.image
  const untilRunning = (name?: string) =>
    eventually(async () => {
      await bench.runPods(namespace)
      expect(await bench.condition(namespace, 'Ready', name)).to.equal('True AllReady')
    })
  const apply = (spec: object, name = 'payments') => bench.apply(namespace, { ...minimalSpec, ...spec }, { name })

  it('is ready when the pods are, which the restricted Pod Security Standard lets in', async () => {
    await bench.start()
    await apply({})
    await untilRunning()
    for (const [component, count] of Object.entries({ redis: 1, consumer: 1, inference: 2, api: 2 }))
      expect(await podsOf(component), component).to.have.length(count)
  })

  it('selects by each Service, policy and budget the pods of one component, of one pipeline', async () => {
    await bench.start()
    await apply({})
    await apply({}, 'payments-api')
    await untilRunning()
    await untilRunning('payments-api')
    const pods = await list(kinds.pods)
    const selectors = [
      ...(await list(kinds.services)).map((one) => [one, (one.spec as { selector: object }).selector] as const),
      ...(await list(kinds.networkPolicies)).map(
        (one) => [one, selection((one.spec as { podSelector: unknown }).podSelector)] as const,
      ),
      ...(await list(kinds.disruptionBudgets)).map(
        (one) => [one, selection((one.spec as { selector: unknown }).selector)] as const,
      ),
    ]
    expect(selectors).to.have.length(26)
    for (const [{ kind, metadata }, selector] of selectors) {
      const selected = pods.filter((pod) =>
        Object.entries(selector).every(([label, value]) => pod.metadata.labels?.[label] === value),
      )
      for (const label of ['app.kubernetes.io/instance', 'app.kubernetes.io/component']) {
        const labels = selected.map(({ metadata: { labels: own } }) => own?.[label])
        expect([...new Set(labels)], `${kind} ${metadata.name}`).to.deep.equal([metadata.labels?.[label]])
      }
    }
    await eventually(async () => {
      for (const { metadata, status } of await list(kinds.disruptionBudgets))
        expect((status as { disruptionsAllowed: number }).disruptionsAllowed, metadata.name).to.equal(1)
    })
  })

  it('keeps pipelines of one namespace apart when one goes', async () => {
    await bench.start()
    await apply({})
    await apply({}, 'payments-api')
    await untilRunning()
    await untilRunning('payments-api')
    const before = (await podsOf('api')).map(({ metadata }) => metadata.uid)
    await bench.client.delete(kinds.pipelines, { namespace, name: 'payments-api' })
    await eventually(async () => expect(await podsOf('api', 'payments-api')).to.deep.equal([]))
    await bench.quiet(300)
    expect((await podsOf('api')).map(({ metadata }) => metadata.uid)).to.deep.equal(before)
    expect(await bench.condition(namespace, 'Ready')).to.equal('True AllReady')
  })

  it('has room for the longest name', async () => {
    const name = 'a'.repeat(40)
    await bench.start()
    await apply({ api: { autoscaling: {} } }, name)
    await untilRunning(name)
  })

  it('never says Ready of a change before its pods run, also when it changes again meanwhile', async () => {
    await bench.start()
    await apply({})
    await untilRunning()
    await bench.quiet(300)
    const seen: PipelineStatus[] = []
    const end = new AbortController()
    const { metadata } = await bench.client.get(kinds.pipelines, { namespace, name: 'payments' })
    const watching = bench.client.watch(kinds.pipelines, {
      namespace,
      resourceVersion: metadata.resourceVersion!,
      timeoutSeconds: 100,
      idleTimeoutMs: 100_000,
      signal: end.signal,
      onEvent: ({ object }) => void seen.push(object.status as PipelineStatus),
    })
    watching.catch(() => {})
    const ready = (status: PipelineStatus) => status.conditions?.find(({ type }) => type === 'Ready')
    const readyAt = (generation: number) =>
      seen.filter((status) => ready(status)?.status === 'True' && ready(status)?.observedGeneration === generation)
    const generation = metadata.generation!
    await apply({ detection: { onModelUnavailable: 'Wait' } })
    await eventually(async () => expect(await podsOf('api')).to.have.length(3))
    await eventually(() =>
      expect(ready(seen.at(-1)!)).to.include({ status: 'False', observedGeneration: generation + 1 }),
    )
    await apply({ detection: { learnFromCalls: 'Enabled' } })
    await eventually(() =>
      expect(ready(seen.at(-1)!)).to.include({ status: 'False', observedGeneration: generation + 2 }),
    )
    await bench.quiet(300)
    expect([readyAt(generation + 1), readyAt(generation + 2)]).to.deep.equal([[], []])
    const told = (await bench.events(namespace)).filter((event) => event.includes('RollingOut'))
    expect(told.sort()).to.deep.equal(
      ['api', 'consumer', 'inference'].map(
        (role) => `Normal RollingOut ${role}: the pods are replaced, because the document changed`,
      ),
    )
    await untilRunning()
    await eventually(() => expect(readyAt(generation + 2)).to.have.length.greaterThan(0))
    for (const role of ['consumer', 'inference', 'api']) {
      const configurations = (await podsOf(role)).map((pod) => pod.metadata.annotations?.['anomaly.com/configuration'])
      expect(new Set(configurations), role).to.have.length(1)
    }
    end.abort()
  })

  it('has the HPA raise the consumers to what the lag asks for, and writes no replicas itself', async () => {
    const first = await bench.start()
    await apply({ consumer: { autoscaling: { minReplicas: 1, maxReplicas: 8, targetLag: 1000 } } })
    await untilRunning()
    expect(await podsOf('consumer')).to.have.length(1)
    await bench.stop(first)
    // As after a restart of the operator amid a backlog, while the brokers do not answer.
    const status = { scaling: { minReplicas: 3, maxReplicas: 8 }, source: { partitions: 12, lag: 9000 } }
    const key = { namespace, name: 'payments' }
    await bench.client.patch(kinds.pipelines, key, { status }, { subresource: 'status' })
    const pending = () => new Promise<never>(() => {})
    const admin = {
      lag: pending,
      topicOffsets: pending,
      committedOffsets: pending,
      topicId: pending,
      createMissingTopics: pending,
    }
    await bench.start({ sampling: { openAdmin: () => ({ ...admin, close() {} }) } })
    // The HPA looks every 15 seconds.
    await eventually(async () => expect(await podsOf('consumer')).to.have.length(3))
    await bench.runPods(namespace)
    await bench.quiet()
    const { metadata } = await bench.get(kinds.deployments, namespace, 'payments-consumer')
    const fields = (metadata as unknown as { managedFields: readonly { manager: string; fieldsV1: object }[] })
      .managedFields
    const owners = fields.filter(({ fieldsV1 }) => JSON.stringify(fieldsV1).includes('"f:replicas":{}'))
    expect(owners.map(({ manager }) => manager)).to.not.include('anomaly-operator')
    expect(metadata.annotations?.['anomaly.com/replicas']).to.equal('autoscaled')
  })

  it('replaces a Redis pod that could never start by one of the corrected image', async () => {
    const settings = { workloadImage: 'anomaly:test', logLevel: 'info' }
    const first = await bench.start({ settings: { ...settings, redisImage: 'redis:wrong' } })
    await apply({})
    await eventually(async () => expect((await podsOf('redis')).map(imageOf)).to.deep.equal(['redis:wrong']))
    await bench.stop(first)
    await bench.start({ settings: { ...settings, redisImage: 'redis:right' } })
    await eventually(async () => expect((await podsOf('redis')).map(imageOf)).to.deep.equal(['redis:right']))
  })

  it('names what a quota refuses, and heals when it is lifted', async () => {
    const hard = { pods: '0' }
    await limit('full', hard)
    await eventually(async () =>
      expect((await bench.get(quotas, namespace, 'full')).status).to.deep.include({ hard, used: { pods: '0' } }),
    )
    await bench.start()
    await apply({})
    await eventually(async () => {
      const { components } = await bench.status(namespace)
      for (const [component, summary] of [
        ['redis', '0/1'],
        ['api', '0/2'],
      ] as const) {
        expect(components?.[component]).to.include({ reason: 'FailedCreate', summary })
        expect(components?.[component]?.message).to.contain('exceeded quota: full')
      }
    })
    await bench.client.delete(quotas, { namespace, name: 'full' })
    await untilRunning()
  })

  it('names what refuses the pod of Redis alone, and does not ask for it all the time', async () => {
    // Of the workloads, only Redis has a claim.
    const hard = { persistentvolumeclaims: '0' }
    await limit('no-claims', hard)
    await bench.start()
    await apply({})
    await eventually(async () => {
      await bench.runPods(namespace)
      const { components, conditions = [] } = await bench.status(namespace)
      expect(components?.redis).to.include({ reason: 'FailedCreate', summary: '0/1' })
      expect(components?.api?.summary).to.equal('2/2')
      const ready = conditions.find(({ type }) => type === 'Ready')
      expect(ready?.reason).to.equal('RedisNotReady')
      expect(ready?.message).to.match(/^redis: 0 of 1 ready: FailedCreate: create .*exceeded quota: no-claims/)
    })
    // Never comes back to an operator that asks all the time.
    await bench.quiet(2_000)
    await bench.client.delete(quotas, { namespace, name: 'no-claims' })
    await untilRunning()
    expect(await bench.requestsOfTouch(namespace)).to.deep.equal([])
  })

  it('is stalled, and names the class, where the volume of Redis can never be made', async () => {
    await bench.start({ patienceMs: 2_000 })
    await apply({ state: { redis: { managed: { storage: { storageClassName: 'no-such-class' } } } } })
    await eventually(async () => expect(await podsOf('redis')).to.have.length(1))
    // What a scheduler would say.
    const [pod] = await podsOf('redis')
    const lastTransitionTime = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
    const message = 'pod has unbound immediate PersistentVolumeClaims'
    const unscheduled = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime }
    await bench.client.patch(
      kinds.pods,
      pod!.metadata,
      { status: { conditions: [unscheduled] } },
      { subresource: 'status' },
    )
    await eventually(
      async () => expect(await bench.condition(namespace, 'Stalled')).to.equal('True RedisNotReady'),
      60_000,
    )
    const { conditions = [] } = await bench.status(namespace)
    expect(conditions.find(({ type }) => type === 'Ready')?.message).to.contain('"no-such-class" not found')
    await eventually(async () => expect((await bench.events(namespace)).join()).to.contain('Warning RedisNotReady'))
  })

  it('lets the volume of Redis grow where its class allows that, and says where it does not', async () => {
    const provisioner = 'example.com/none'
    for (const allowVolumeExpansion of [true, false])
      await bench.client.create(classes, {
        ...{ apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', provisioner, allowVolumeExpansion },
        metadata: { name: allowVolumeExpansion ? 'growing' : 'fixed' },
      })
    await bench.start()
    const asked = (storageClassName: string, size?: string) => ({
      state: { redis: { managed: { storage: { storageClassName, ...(size === undefined ? {} : { size }) } } } },
    })
    const claimOf = async (pipeline: string) =>
      (await list(claims)).find(({ metadata }) => metadata.name === `data-${pipeline}-redis-0`)
    for (const name of ['growing', 'fixed']) {
      await apply(asked(name), name)
      await eventually(async () => expect(await claimOf(name)).to.not.equal(undefined))
      // What the provisioner would do.
      await bench.client.create(volumes, {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: `volume-of-${namespace}-${name}` },
        spec: {
          ...{ storageClassName: name, capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'] },
          ...{ hostPath: { path: '/nowhere' }, claimRef: { namespace, name: `data-${name}-redis-0` } },
        },
      })
      await eventually(async () => expect((await claimOf(name))!.status).to.include({ phase: 'Bound' }))
    }
    const requested = async (name: string) =>
      (await claimOf(name))!.spec as { resources: { requests: { storage: string } } }
    await apply(asked('growing', '2Gi'), 'growing')
    await eventually(async () => expect((await requested('growing')).resources.requests.storage).to.equal('2Gi'))
    await apply(asked('fixed', '2Gi'), 'fixed')
    await eventually(async () =>
      expect(await bench.condition(namespace, 'Stalled', 'fixed')).to.equal('True VolumeNotGrown'),
    )
    expect((await requested('fixed')).resources.requests.storage).to.equal('1Gi')
    expect(await bench.condition(namespace, 'Stalled', 'growing')).to.not.equal('True VolumeNotGrown')
  })

  it('says what its pods say: of the store, of themselves, and why they are not ready', async () => {
    let redis = 'ok'
    const cause = 'models: redis:6379 did not answer'
    const askPod = async (url: string) => {
      if (url.endsWith('/readyz')) return `[-]${cause.replace(':', ' failed:')}\nfailed\n`
      return JSON.stringify({ redis, conditions: { keysMisplaced: false } })
    }
    await bench.start({ sampling: { openAdmin: quietTopic, pods: { askPod, intervalMs: 300 } } })
    await apply({})
    await untilRunning()
    await eventually(async () => expect(await bench.condition(namespace, 'StateReachable')).to.equal('True Reachable'))
    expect(await bench.condition(namespace, 'Degraded')).to.equal('False AsExpected')
    redis = 'redis:6379 is unreachable for 100 s: refused'
    await eventually(async () => expect(await bench.condition(namespace, 'Degraded')).to.equal('True StateUnavailable'))
    expect(await bench.condition(namespace, 'StateReachable')).to.equal('False StateUnavailable')
    expect(await bench.condition(namespace, 'Ready')).to.equal('True AllReady')
    await eventually(async () => expect((await bench.events(namespace)).join()).to.contain('Warning StateUnavailable'))
    redis = 'ok'
    await eventually(async () => expect(await bench.condition(namespace, 'Degraded')).to.equal('False AsExpected'))
    await eventually(async () => expect((await bench.events(namespace)).join()).to.contain('Normal Recovered'))

    const [pod] = await podsOf('inference')
    const conditions = [{ type: 'Ready', status: 'False', message: 'containers with unready status: [inference]' }]
    await bench.client.patch(kinds.pods, pod!.metadata, { status: { conditions } }, { subresource: 'status' })
    await eventually(async () => {
      const { components } = await bench.status(namespace)
      expect(components?.inference).to.include({ message: `${pod!.metadata.name}: ${cause}` })
    })
  })

  it('gives running pods another alert budget without a roll-out, and says when all have taken it up', async () => {
    const taken = new Map<string, number>()
    const askPod = async (url: string) => JSON.stringify({ generation: taken.get(url) ?? 1 })
    await bench.start({ sampling: { openAdmin: quietTopic, pods: { askPod, intervalMs: 300 } } })
    await apply({})
    await untilRunning()
    await eventually(async () => expect((await bench.status(namespace)).observedConfig).to.equal(1))
    const pods = async () => (await list(kinds.pods)).map(({ metadata }) => metadata.uid).sort()
    const before = await pods()
    await apply({ detection: { alertBudgetPerMillion: 7 } })
    await eventually(async () => {
      for (const role of ['consumer', 'inference', 'api'])
        for (const { metadata } of await podsOf(role))
          expect(metadata.annotations, metadata.name).to.include({ 'anomaly.com/generation': '2' })
    })
    const { data } = (await bench.get(kinds.configMaps, namespace, 'payments-pipeline')) as { data?: object }
    expect(data)
      .to.have.property('pipeline.yaml')
      .that.includes('generation: 2')
      .and.includes('alertBudgetPerMillion: 7')
    expect(await pods()).to.deep.equal(before)
    expect((await bench.status(namespace)).observedConfig).to.equal(1)
    taken.set('http://10.1.2.3:9090/status', 2)
    await eventually(async () => expect((await bench.status(namespace)).observedConfig).to.equal(2))

    await apply({ detection: { alertBudgetPerMillion: 7, onModelUnavailable: 'Wait' } })
    await eventually(async () => {
      await bench.runPods(namespace)
      expect(await pods()).to.not.include.members(before)
    })
  })

  it('scores by a model of a ConfigMap once that is there, and replaces the pods of inference when it changes', async () => {
    await bench.start()
    const models = { configMap: { name: 'models', key: 'fraud.onnx' } }
    await apply({ detection: { detectors: [{ name: 'mine', onnx: { from: models, inputs: ['value'] } }] } })
    const ready = async () =>
      (await bench.status(namespace)).conditions?.find(({ type }) => type === 'Ready')?.message ?? ''
    await eventually(async () => expect(await bench.condition(namespace, 'Ready')).to.equal('False ConfigMapMissing'))
    expect(await ready()).to.contain(
      'ConfigMap models (spec.detection.detectors[mine].onnx.from.configMap) does not exist',
    )
    const metadata = { name: 'models', namespace }
    const write = (data: object) =>
      bench.client.apply(kinds.configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata, ...data }, person)
    await write({ data: { other: 'x' } })
    await eventually(async () => expect(await ready()).to.contain('has no entry fraud.onnx'))
    await write({ binaryData: { 'fraud.onnx': btoa('first') } })
    await untilRunning()
    const pods = async (component: string) => (await podsOf(component)).map(({ metadata: { uid } }) => uid).sort()
    const before = { inference: await pods('inference'), consumer: await pods('consumer') }
    await write({ binaryData: { 'fraud.onnx': btoa('second') } })
    await eventually(async () => {
      await bench.runPods(namespace)
      expect(await pods('inference')).to.not.include.members(before.inference)
    })
    expect(await pods('consumer')).to.deep.equal(before.consumer)
  })

  it('says that a claim with a model is missing, as the scheduler does, while the former pods go on', async () => {
    await bench.start()
    await apply({})
    await untilRunning()
    const former = (await podsOf('inference')).map(({ metadata }) => metadata.uid)
    const models = { persistentVolumeClaim: { claimName: 'models', path: 'fraud.onnx' } }
    await apply({ detection: { detectors: [{ name: 'mine', onnx: { from: models, inputs: ['value'] } }] } })
    const newest = async () => (await podsOf('inference')).find(({ metadata }) => !former.includes(metadata.uid))
    await eventually(async () => expect(await newest()).to.not.equal(undefined))
    const pod = (await newest())!
    expect(JSON.stringify(pod.spec)).to.contain('"persistentVolumeClaim":{"claimName":"models","readOnly":true}')
    const message = '0/1 nodes are available: persistentvolumeclaim "models" not found.'
    const conditions = [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }]
    const status = { phase: 'Pending', conditions }
    await bench.client.patch(kinds.pods, pod.metadata, { status }, { subresource: 'status' })
    await eventually(async () => {
      const { conditions: said = [] } = await bench.status(namespace)
      expect(said.find(({ type }) => type === 'Ready')).to.include({ status: 'False' })
      expect(said.find(({ type }) => type === 'Ready')?.message).to.contain('persistentvolumeclaim "models" not found')
      expect(said.find(({ type }) => type === 'Available')).to.include({ status: 'True' })
    })
    const left = (await podsOf('inference')).map(({ metadata }) => metadata.uid)
    expect(left).to.include.members(former)
  })

  it('lets consumers alone log in to a schema registry, once its Secret is there', async () => {
    await bench.start()
    const schemaRegistry = { url: 'http://registry:8081', secretRef: { name: 'registry' } }
    await apply({ source: { ...minimalSpec.source, schemaRegistry } })
    await eventually(async () => expect(await bench.condition(namespace, 'Ready')).to.equal('False SecretMissing'))
    const { conditions = [] } = await bench.status(namespace)
    const said = conditions.find(({ type }) => type === 'Ready')?.message
    expect(said).to.contain('spec.source.schemaRegistry.secretRef')
    const metadata = { name: 'registry', namespace }
    const stringData = { username: 'u', password: 'p' }
    await bench.client.create(kinds.secrets, { apiVersion: 'v1', kind: 'Secret', metadata, stringData })
    await untilRunning()
    for (const role of ['consumer', 'inference', 'api']) {
      const text = JSON.stringify((await podsOf(role))[0]!.spec)
      for (const part of ['--schema-registry-username-file', '/etc/anomaly/schema-registry', '"secretName":"registry"'])
        expect(text.includes(part), `${role}: ${part}`).to.equal(role === 'consumer')
    }
  })

  it('makes no key without end where a quota refuses its Secret', async () => {
    const hard = { 'count/secrets': '0' }
    await limit('full', hard)
    await bench.start()
    await apply({})
    await eventually(async () => expect(await bench.condition(namespace, 'Ready')).to.equal('False ApplyRefused'))
    await eventually(() => expect(bench.reconciles(namespace)).to.be.at.least(4))
    expect(await list(kinds.deployments)).to.deep.equal([])
    expect(await bench.condition(namespace, 'Stalled')).to.equal('True ApplyRefused')
    await bench.client.delete(quotas, { namespace, name: 'full' })
    await untilRunning()
  })

  for (const propagationPolicy of ['Background', 'Foreground'] as const)
    it(`leaves nothing behind when the pipeline is deleted (${propagationPolicy.toLowerCase()})`, async () => {
      await bench.start()
      await apply({})
      await untilRunning()
      expect(await list(claims)).to.have.length(1)
      await bench.client.delete(kinds.pipelines, { namespace, name: 'payments' }, { propagationPolicy })
      await eventually(async () => {
        const left = await Promise.all(
          [...kinds.childKinds, kinds.pods, replicaSets, claims, kinds.pipelines].map(list),
        )
        const names = left.flat().map(({ kind, metadata }) => `${kind} ${metadata.name}`)
        expect(names.filter((name) => name !== 'ConfigMap kube-root-ca.crt')).to.deep.equal([])
      })
    })

  it('keeps the volume of Redis where the document says so', async () => {
    await bench.start()
    await apply({ state: { redis: { managed: { storage: { whenDeleted: 'Retain' } } } } })
    await untilRunning()
    await bench.client.delete(kinds.pipelines, { namespace, name: 'payments' })
    await eventually(async () => expect(await bench.children(namespace)).to.deep.equal([]))
    await bench.quiet(500)
    expect((await list(claims)).map(({ metadata }) => metadata.deletionTimestamp)).to.deep.equal([undefined])
  })

  it('is made anew at once under the name of one that was just deleted', async () => {
    await bench.start()
    await apply({})
    await untilRunning()
    await bench.client.delete(kinds.pipelines, { namespace, name: 'payments' })
    await apply({})
    await untilRunning()
    const { metadata } = await bench.get(kinds.pipelines, namespace, 'payments')
    for (const { metadata: child } of await list(kinds.deployments))
      expect(child.ownerReferences?.[0]?.uid).to.equal(metadata.uid)
    expect((await bench.events(namespace)).filter((event) => event.startsWith('Warning'))).to.deep.equal([])
  })

  it('lets a namespace go without a fight', async () => {
    await bench.start()
    await apply({})
    await untilRunning()
    await bench.quiet(300)
    cluster.proxy.clear()
    const namespaces: Resource = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false }
    await bench.client.delete(namespaces, { name: namespace })
    await eventually(async () => {
      const { items } = await bench.client.list(namespaces)
      expect(items.map(({ metadata }) => metadata.name)).to.not.include(namespace)
    })
    const refused = cluster.proxy.requests.filter(({ status }) => status === 403)
    expect(refused.length).to.be.lessThan(60)
    expect(cluster.proxy.count(['create'], '/events')).to.equal(0)
    const before = cluster.proxy.requests.length
    await bench.quiet(500)
    expect(cluster.proxy.requests.slice(before).filter(({ path }) => path.includes(`/${namespace}/`))).to.deep.equal([])
  })

  it('is what kubectl waits for and prints', async () => {
    const ask = (...args: string[]) =>
      run(kubectl, ['--kubeconfig', cluster.server.kubeconfigPath, '-n', namespace, ...args])
    await bench.start()
    await apply({})
    const early = await ask('wait', '--for=condition=Ready', 'apl/payments', '--timeout=1s').catch(
      (error: unknown) => error,
    )
    expect(String(early)).to.contain('timed out waiting')
    const waiting = ask('wait', '--for=condition=Ready', 'apl/payments', '--timeout=60s')
    await untilRunning()
    expect((await waiting).stdout).to.contain('payments condition met')
    const [head, row] = (await ask('get', 'apl')).stdout.split('\n')
    expect(head?.split(/\s{2,}/).map((word) => word.trim())).to.include.members([
      'NAME',
      'READY',
      'STATUS',
      'CONSUMERS',
      'LAG',
    ])
    expect(row).to.match(/^payments +True +AllReady +1\/1 +0 /)
  })
})
