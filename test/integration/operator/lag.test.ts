import { expect } from 'chai'
import * as kinds from '../../../operator/kinds.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, useOperator } from '../../harness/operator.ts'

describe('Operator: lag', () => {
  const cluster = useApiServer()
  const bench = useOperator(cluster)
  let namespace: string
  let lag: number
  let lags: () => Promise<Map<number, number>>

  /** A topic whose lag the test says. */
  const openAdmin = () => ({
    lag: () => lags(),
    topicOffsets: async () => new Map(),
    committedOffsets: async () => new Map(),
    topicId: async () => undefined,
    createMissingTopics: async () => [],
    close() {},
  })
  beforeEach(async () => {
    namespace = await bench.namespace()
    lag = 0
    lags = async () =>
      new Map([
        [0, lag],
        [1, 0],
        [2, 0],
      ])
  })
  const bounds = async () => {
    const { spec } = await bench.get(kinds.autoscalers, namespace, 'payments-consumer')
    const { minReplicas, maxReplicas } = spec as { minReplicas: number; maxReplicas: number }
    return [minReplicas, maxReplicas]
  }
  const autoscaling = { minReplicas: 1, maxReplicas: 8, targetLag: 1000 }

  it('keeps a document of three partitions to three consumers', async () => {
    await bench.start({ sampling: { openAdmin, intervalMs: 100, tellMs: 100 } })
    await bench.apply(namespace, { ...minimalSpec, consumer: { autoscaling } })
    await eventually(async () => expect(await bounds()).to.deep.equal([1, 3]))
    await eventually(async () =>
      expect((await bench.status(namespace)).source).to.deep.equal({ partitions: 3, lag: 0 }),
    )
  })

  it('takes what was asked for before a restart, until it has looked again', async () => {
    await bench.apply(namespace, { ...minimalSpec, consumer: { autoscaling } })
    const status = { scaling: { minReplicas: 3, maxReplicas: 3 }, source: { partitions: 3, lag: 9000 } }
    await bench.client.patch(kinds.pipelines, { namespace, name: 'payments' }, { status }, { subresource: 'status' })
    lags = () => new Promise(() => {})
    await bench.start({ sampling: { openAdmin, intervalMs: 100, tellMs: 100 } })
    await eventually(async () => expect(await bounds()).to.deep.equal([3, 3]))
  })

  it('only recommends with mode Recommend', async () => {
    lag = 1e6
    await bench.start({ sampling: { openAdmin, intervalMs: 100, tellMs: 100 } })
    await bench.apply(namespace, { ...minimalSpec, consumer: { autoscaling: { ...autoscaling, mode: 'Recommend' } } })
    await eventually(async () => expect((await bench.status(namespace)).scaling).to.deep.include({ maxReplicas: 3 }))
    await eventually(async () => expect(await bounds()).to.deep.equal([1, 3]))
  })

  it('lets the document be edited while the brokers do not answer', async () => {
    await bench.start({ sampling: { openAdmin, intervalMs: 100, tellMs: 100 } })
    await bench.apply(namespace, { ...minimalSpec, consumer: { autoscaling } })
    await eventually(async () => expect(await bounds()).to.deep.equal([1, 3]))
    lags = () => Promise.reject(new Error('no broker answers'))
    await eventually(async () =>
      expect(await bench.condition(namespace, 'SourceReachable')).to.equal('False Unreachable'),
    )
    await bench.apply(namespace, { ...minimalSpec, consumer: { autoscaling: { ...autoscaling, maxReplicas: 2 } } })
    await eventually(async () => expect(await bounds()).to.deep.equal([1, 2]))
    await bench.apply(namespace, { ...minimalSpec, consumer: { autoscaling: { ...autoscaling, minReplicas: 2 } } })
    await eventually(async () => expect(await bounds()).to.deep.equal([2, 3]))
  })

  it('is not held up by brokers that do not answer, and says that they do not', async () => {
    const { openAdmin: real } = await import('../../../lib/kafka/admin.ts')
    await bench.start({ sampling: { openAdmin: real, intervalMs: 200, tellMs: 200 } })
    await bench.apply(namespace, { ...minimalSpec, consumer: { autoscaling } })
    await eventually(async () => expect(await bounds()).to.deep.equal([1, 8]))
    await eventually(
      async () => expect(await bench.condition(namespace, 'SourceReachable')).to.equal('False Unreachable'),
      40_000,
    )
    await bench.settle(namespace)
    await eventually(async () => expect(await bench.condition(namespace, 'Ready')).to.equal('False SourceUnreachable'))
  })
})
