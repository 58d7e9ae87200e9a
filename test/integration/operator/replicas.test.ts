import { expect } from 'chai'
import type { PipelineStatus } from '../../../lib/pipeline/status.ts'
import * as kinds from '../../../operator/kinds.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, useOperator } from '../../harness/operator.ts'

const autoscaling = { minReplicas: 2, maxReplicas: 9 }

describe('Operator: replicas', () => {
  const cluster = useApiServer()
  const bench = useOperator(cluster)
  let namespace: string
  let seen: number[]
  /** Of the condition Ready, as they came. */
  let reasons: string[]
  let end: AbortController

  beforeEach(async () => {
    namespace = await bench.namespace()
    await bench.start()
    seen = []
    end = new AbortController()
    const { resourceVersion } = await bench.client.list(kinds.deployments, { namespace })
    void bench.client
      .watch(kinds.deployments, {
        namespace,
        resourceVersion,
        timeoutSeconds: 80,
        idleTimeoutMs: 80_000,
        signal: end.signal,
        onEvent({ object }) {
          if (object.metadata.name === 'payments-api') seen.push((object.spec as { replicas: number }).replicas)
        },
      })
      .catch(() => {})
    reasons = []
    const { resourceVersion: from } = await bench.client.list(kinds.pipelines, { namespace })
    void bench.client
      .watch(kinds.pipelines, {
        namespace,
        resourceVersion: from,
        timeoutSeconds: 80,
        idleTimeoutMs: 80_000,
        signal: end.signal,
        onEvent({ object }) {
          const { conditions = [] } = (object.status ?? {}) as PipelineStatus
          reasons.push(conditions.find(({ type }) => type === 'Ready')?.reason ?? '')
        },
      })
      .catch(() => {})
  })
  afterEach(() => end.abort())

  const key = () => ({ namespace, name: 'payments-api' })
  const apply = (api: object, more: object = {}) => bench.apply(namespace, { ...minimalSpec, ...more, api })
  const hasAutoscaler = async (has: boolean) =>
    expect((await bench.children(namespace)).includes('HorizontalPodAutoscaler payments-api')).to.equal(has)
  const mark = async () =>
    (await bench.client.get(kinds.deployments, key())).metadata.annotations?.['anomaly.com/replicas']
  /** What an HPA does. */
  const scale = async (replicas: number) => {
    await bench.client.patch(kinds.deployments, key(), { spec: { replicas } }, { subresource: 'scale' })
    await eventually(() => expect(seen.at(-1)).to.equal(replicas))
  }
  const changes = () => seen.filter((replicas, index) => replicas !== seen[index - 1])

  it('never lets pods go when autoscaling is switched on and off, event by event', async () => {
    await apply({ replicas: 5 })
    await eventually(() => expect(seen.at(-1)).to.equal(5))
    await apply({ autoscaling })
    await eventually(() => hasAutoscaler(true))
    await scale(7)
    await bench.quiet(300)
    await apply({})
    await eventually(() => hasAutoscaler(false))
    await eventually(async () => expect(await mark()).to.equal('7'))
    await bench.quiet(300)
    await apply({ autoscaling })
    await eventually(async () => expect(await mark()).to.equal('autoscaled'))
    await scale(8)
    await apply({ replicas: 8 })
    await eventually(async () => expect(await mark()).to.equal('fixed'))
    await bench.quiet(300)
    expect(changes()).to.deep.equal([5, 7, 8])
  })

  it('leaves what the HPA says alone', async () => {
    await apply({ autoscaling })
    await eventually(() => hasAutoscaler(true))
    await scale(6)
    await bench.quiet(500)
    expect(changes()).to.deep.equal([2, 6])
  })

  it('pauses to nothing and resumes with what there was', async () => {
    await apply({ autoscaling })
    await eventually(() => hasAutoscaler(true))
    await scale(6)
    await apply({ autoscaling }, { desiredState: 'Paused' })
    await eventually(async () => {
      await hasAutoscaler(false)
      expect(seen.at(-1)).to.equal(0)
    })
    await bench.settle(namespace)
    await eventually(async () => {
      expect(await bench.condition(namespace, 'Ready')).to.equal('True Paused')
      expect(await bench.condition(namespace, 'Available')).to.equal('False Paused')
    })
    await apply({ autoscaling })
    await eventually(() => hasAutoscaler(true))
    await bench.quiet(300)
    expect(changes()).to.deep.equal([2, 6, 0, 6])
  })

  it('gives way when the replicas changed at the moment of the hand-over', async () => {
    await apply({ replicas: 4 })
    await eventually(() => expect(seen.at(-1)).to.equal(4))
    await bench.untilReady(namespace)
    await bench.quiet(300)
    const end = cluster.proxy.fault(
      { kind: 'status', code: 409 },
      { verbs: ['apply'], path: '/deployments/payments-api', query: 'handover', times: 1 },
    )
    await apply({ autoscaling })
    await eventually(() => hasAutoscaler(true))
    end()
    await bench.settle(namespace)
    await bench.quiet(300)
    expect(changes()).to.deep.equal([4])
    // Nothing went wrong: it looked again.
    const events = (await bench.events(namespace)).filter((event) => event.includes('Failed'))
    expect(events).to.deep.equal([])
    expect(reasons).to.not.include('ApplyFailed')
  })
})
