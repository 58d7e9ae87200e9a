import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import * as kinds from '../../../operator/kinds.ts'
import type { KubeObject } from '../../../operator/runtime/kube-object.ts'
import { type Redis, startRedis } from '../../../tools/servers/redis.ts'
import { createRedisState } from '../../../workloads/state/redis.ts'
import { suiteSettings } from '../../../workloads/state/state-suite.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, useOperator } from '../../harness/operator.ts'

const run = promisify(execFile)
const log = { debug() {}, info() {}, warn() {}, error() {} }
const anomaly = join(import.meta.dirname, '../../../bin/anomaly')
const managed = { ...minimalSpec, consumer: { replicas: 3 }, state: { redis: { managed: { memoryMebibytes: 512 } } } }
const external = {
  ...managed,
  state: { redis: { external: { urlSecretRef: { name: 'shared', key: 'url' }, keyPrefix: 'mine:' } } },
}

describe('Operator: to another Redis and back', () => {
  const cluster = useApiServer()
  const bench = useOperator(cluster)
  let namespace: string
  let shared: Redis
  let own: Redis

  beforeEach(async () => {
    namespace = await bench.namespace()
    shared = await startRedis({ args: ['--requirepass', 'secret'] })
    await putSecret('shared', { url: `redis://:secret@127.0.0.1:${shared.port}` })
    await bench.start()
    await bench.apply(namespace, managed)
    await bench.untilReady(namespace)
    own = await startRedis({ args: ['--requirepass', (await secret('payments-redis')).password!] })
  })
  afterEach(() => Promise.all([shared?.stop(), own?.stop()]))

  const putSecret = (name: string, stringData: Readonly<Record<string, string>>) =>
    bench.client.apply(
      kinds.secrets,
      { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData },
      { fieldManager: 'person', force: true },
    )
  async function secret(name: string): Promise<Readonly<Record<string, string>>> {
    const { data } = await bench.get(kinds.secrets, namespace, name)
    const entries = Object.entries(data as Record<string, string>)
    return Object.fromEntries(entries.map(([key, text]) => [key, Buffer.from(text, 'base64').toString()]))
  }
  const moved = () => bench.condition(namespace, 'StateMoved')
  const replicas = async () =>
    Object.fromEntries(
      (await bench.client.list(kinds.deployments, { namespace })).items.map(({ metadata, spec }) => [
        metadata.name.replace('payments-', ''),
        (spec as { replicas: number }).replicas,
      ]),
    )
  const running = { consumer: 3, inference: 2, api: 2 }
  const jobs = async () => (await bench.client.list(kinds.jobs, { namespace })).items
  const untilMoved = (said: string | undefined) =>
    eventually(async () => {
      await bench.settle(namespace)
      expect(await moved()).to.equal(said)
    })
  async function untilJob(): Promise<KubeObject> {
    await untilMoved('False Copying')
    let found: readonly KubeObject[] = []
    await eventually(async () => {
      found = await jobs()
      expect(found).to.have.length(1)
    })
    return found[0]!
  }
  const labels = (component: string) => ({
    'app.kubernetes.io/name': 'anomaly',
    'app.kubernetes.io/instance': 'payments',
    'app.kubernetes.io/component': component,
    'app.kubernetes.io/managed-by': 'anomaly-operator',
  })
  async function addPod(component: string, status: object): Promise<KubeObject> {
    const metadata = { name: component, namespace, labels: labels(component) }
    const spec = { containers: [{ name: component, image: 'x' }], terminationGracePeriodSeconds: 0 }
    const pod = await bench.client.create(kinds.pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec })
    return bench.client.patch(kinds.pods, metadata, { status }, { subresource: 'status' }).then(() => pod)
  }

  /** Does what the pod of the Job would do, the managed Redis being another server than its Service would find. */
  async function runJob({ spec }: KubeObject): Promise<string> {
    const { template } = spec as {
      template: { spec: { containers: [{ args: string[]; env: { name: string; valueFrom: ValueFrom }[] }] } }
    }
    const [{ args, env }] = template.spec.containers
    const values = env.map(async ({ name, valueFrom: { secretKeyRef } }) => {
      if (secretKeyRef === undefined) return [name, 'uid'] as const
      const url = (await secret(secretKeyRef.name))[secretKeyRef.key]!
      return [name, url.replace(/@payments-redis[^:]*:6379/, `@127.0.0.1:${own.port}`)] as const
    })
    const { stdout } = await run(anomaly, args, {
      env: { ...process.env, ...Object.fromEntries(await Promise.all(values)) },
    })
    return stdout
  }
  async function end({ metadata }: KubeObject, type: 'Complete' | 'Failed'): Promise<void> {
    const now = new Date().toISOString().replace(/\.\d+/, '')
    const one = { status: 'True', reason: 'Test', message: 'as the test has it', lastTransitionTime: now }
    const target = type === 'Complete' ? 'SuccessCriteriaMet' : 'FailureTarget'
    const conditions = [target, type].map((named) => ({ type: named, ...one }))
    const status = { startTime: now, conditions, ...(type === 'Complete' ? { completionTime: now } : {}) }
    await bench.client.patch(kinds.jobs, metadata, { status }, { subresource: 'status' })
  }

  async function withStore<T>(
    { port }: Redis,
    password: string,
    keyPrefix: string,
    work: (store: ReturnType<typeof createRedisState>) => Promise<T>,
  ): Promise<T> {
    const url = `redis://:${password}@127.0.0.1:${port}`
    const store = createRedisState({ ...suiteSettings, url, keyPrefix, encoding: 1, log })
    await store.start!(new AbortController().signal)
    return work(store).finally(() => store.stop!())
  }
  const learn = (at: Redis, password: string, keyPrefix: string, keys: readonly string[]) =>
    withStore(at, password, keyPrefix, async ({ partitions }) => {
      const { epoch } = await partitions.take(1)
      await partitions.flush(1, epoch, { keys: new Map(keys.map((key) => [key, Uint8Array.from([7])])) })
    })
  const known = (at: Redis, password: string, keyPrefix: string, keys: readonly string[]) =>
    withStore(at, password, keyPrefix, async ({ partitions }) =>
      (await partitions.loadKeys(1, keys)).map((found) => found?.[0]),
    )
  const urlSecret = async () => {
    const { spec } = await bench.get(kinds.deployments, namespace, 'payments-consumer')
    const { template } = spec as { template: { spec: { containers: [{ env: { valueFrom: ValueFrom }[] }] } } }
    return template.spec.containers[0].env.find(({ valueFrom }) => valueFrom?.secretKeyRef)!.valueFrom.secretKeyRef
      ?.name
  }

  it('stops who writes, copies, and goes on with what was learnt', async () => {
    const { password = '' } = await secret('payments-redis')
    await learn(own, password, '', ['a', 'b'])
    const consumer = await addPod('consumer', { phase: 'Running' })
    await bench.apply(namespace, external)
    await untilMoved('False Stopping')
    expect(await bench.condition(namespace, 'Ready')).to.equal('False MovingState')
    expect(await bench.condition(namespace, 'Available')).to.equal('False MovingState')
    expect(await replicas()).to.deep.equal({ consumer: 0, inference: 0, api: 0 })
    expect(await jobs()).to.deep.equal([])
    // The Redis that it has is what the former document asked for.
    const { spec } = await bench.get(kinds.statefulSets, namespace, 'payments-redis')
    expect(spec).to.have.nested.property('template.spec.containers[0].resources.limits.memory', '512Mi')
    await bench.client.delete(kinds.pods, consumer.metadata)

    const job = await untilJob()
    expect(await runJob(job)).to.match(/^Copied 3 keys/)
    expect(await urlSecret()).to.equal('payments-redis')
    await end(job, 'Complete')
    await untilMoved('True Moved')
    await bench.untilReady(namespace)
    expect(await replicas()).to.deep.equal(running)
    expect(await urlSecret()).to.equal('shared')
    await eventually(async () =>
      expect((await bench.children(namespace)).filter((name) => name.includes('redis'))).to.deep.equal([]),
    )
    expect(await known(shared, 'secret', 'mine:', ['a', 'b'])).to.deep.equal([7, 7])
    const told = (await bench.events(namespace)).filter((event) => /MovingState|StateMoved/.test(event))
    expect(told.join('\n')).to.contain('Normal StateMoved')
  })

  it('waits for the new Redis before it stops anybody, on the way back', async () => {
    await bench.apply(namespace, external)
    await end(await untilJob(), 'Complete')
    await untilMoved('True Moved')
    await bench.untilReady(namespace)
    await learn(shared, 'secret', 'mine:', ['c'])

    await bench.apply(namespace, managed)
    await eventually(async () => expect(await moved()).to.equal('False Preparing'))
    await eventually(async () => expect(await bench.get(kinds.statefulSets, namespace, 'payments-redis')).to.be.ok)
    expect(await replicas()).to.deep.equal(running)
    expect(await urlSecret()).to.equal('shared')
    const { password = '' } = await secret('payments-redis')
    await own.stop()
    own = await startRedis({ args: ['--requirepass', password] })
    const job = await untilJob()
    await runJob(job)
    await end(job, 'Complete')
    await untilMoved('True Moved')
    await bench.untilReady(namespace)
    expect(await urlSecret()).to.equal('payments-redis')
    expect(await replicas()).to.deep.equal(running)
    expect(await known(own, password, '', ['c'])).to.deep.equal([7])
  })

  it('goes on with the Redis that it has where the copy fails, and tries again with another Secret', async () => {
    await bench.apply(namespace, external)
    const job = await untilJob()
    await addPod('redis-copy', {
      phase: 'Failed',
      containerStatuses: [
        {
          ...{ name: 'redis-copy', image: 'x', imageID: 'x', ready: false, restartCount: 0 },
          state: { terminated: { exitCode: 1, message: 'anomaly: Redis at shared refused: WRONGPASS' } },
        },
      ],
    })
    await end(job, 'Failed')
    await untilMoved('False CopyFailed')
    await eventually(async () => expect(await replicas()).to.deep.equal(running))
    expect(await urlSecret()).to.equal('payments-redis')
    expect(await bench.condition(namespace, 'Ready')).to.equal('False StateNotMoved')
    const { conditions = [] } = await bench.status(namespace)
    expect(conditions.find(({ type }) => type === 'StateMoved')?.message).to.contain('refused: WRONGPASS')

    await putSecret('shared', { url: `redis://:secret@127.0.0.1:${shared.port}/1` })
    const again = await untilJob()
    expect(again.metadata.name).not.to.equal(job.metadata.name)
    // Back to what it has: nothing was moved, and nothing is lost.
    await bench.apply(namespace, managed)
    await untilMoved('True Moved')
    await bench.untilReady(namespace)
    expect(await replicas()).to.deep.equal(running)
    await eventually(async () => expect(await jobs()).to.deep.equal([]))
  })
})

interface ValueFrom {
  readonly secretKeyRef?: { readonly name: string; readonly key: string }
}
