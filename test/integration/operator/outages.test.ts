import { expect } from 'chai'
import * as kinds from '../../../operator/kinds.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, useOperator } from '../../harness/operator.ts'

describe('Operator: outages', function () {
  this.timeout(120_000)
  const cluster = useApiServer()
  const bench = useOperator(cluster)
  let namespace: string

  beforeEach(async () => {
    namespace = await bench.namespace()
  })
  const replicasOf = async (name: string) =>
    ((await bench.get(kinds.deployments, namespace, name)).spec as { replicas: number }).replicas
  const apply = (replicas: number) => bench.apply(namespace, { ...minimalSpec, api: { replicas } })
  const follows = async (replicas: number) => {
    await apply(replicas)
    await eventually(async () => expect(await replicasOf('payments-api')).to.equal(replicas), 40_000)
  }

  it('goes on after the API server was started again', async () => {
    await bench.start()
    await follows(3)
    await cluster.server.kill()
    await cluster.server.restart()
    await follows(4)
  })

  it('goes on after 30 seconds without an answer, and misses nothing', async () => {
    const operator = await bench.start()
    await follows(3)
    const back = cluster.proxy.blackhole()
    await apply(6)
    await new Promise((resolve) => setTimeout(resolve, 30_000))
    expect(await replicasOf('payments-api')).to.equal(3)
    back()
    await eventually(async () => expect(await replicasOf('payments-api')).to.equal(6), 40_000)
    expect(operator.status()).to.include({ leads: true })
  })

  it('goes on after watches were too old, refused, and half open', async () => {
    await bench.start()
    await follows(3)
    const refused = cluster.proxy.fault({ kind: 'status', code: 429, retryAfterSeconds: 1 })
    cluster.proxy.cut()
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    refused()
    await follows(4)
    cluster.proxy.fault({ kind: 'status', code: 410 }, { verbs: ['watch'], times: 10 })
    cluster.proxy.cut()
    await follows(5)
    cluster.proxy.silenceWatches()
    await follows(6)
  })

  it('starts while the API server is away', async () => {
    await apply(3)
    const back = cluster.proxy.blackhole()
    const operator = await bench.start()
    expect(operator.cacheProblem()).to.not.equal(undefined)
    back()
    await eventually(async () => expect(await replicasOf('payments-api')).to.equal(3), 40_000)
    expect(operator.cacheProblem()).to.equal(undefined)
  })

  it('lets one of two operators act, and the other when the first is gone', async () => {
    const first = await bench.start({ identity: 'first' })
    await eventually(() => expect(first.status()).to.include({ leads: true }))
    const second = await bench.start({ identity: 'second' })
    await follows(3)
    expect(second.status()).to.include({ leader: 'first', leads: false })
    const writes = () =>
      cluster.proxy.requests.filter(({ verb, path }) => verb === 'apply' && path.endsWith('/payments-api'))
    const paths = new Set(writes().map(({ path }) => path))
    // Service, NetworkPolicy, PodDisruptionBudget, Deployment: each written once, though two operators saw the pipeline.
    expect(writes()).to.have.length(paths.size)
    await bench.stop(first)
    await eventually(() => expect(second.status()).to.include({ leads: true }))
    await follows(5)
  })

  it('does not let a pipeline that always fails delay a hundred others', async () => {
    await bench.start()
    const broken = await bench.namespace()
    cluster.proxy.fault({ kind: 'status', code: 500 }, { verbs: ['apply'], path: `/namespaces/${broken}/` })
    await bench.apply(broken)
    await eventually(() => expect(cluster.proxy.count(['apply'], `/namespaces/${broken}/`)).to.be.at.least(10))
    const from = performance.now()
    await Promise.all(
      Array.from({ length: 100 }, (_, index) => bench.apply(namespace, minimalSpec, { name: `p${index}` })),
    )
    await eventually(async () => {
      const { items } = await bench.client.list(kinds.deployments, { namespace })
      expect(items).to.have.length(300)
    }, 60_000)
    expect(performance.now() - from).to.be.lessThan(45_000)
  })
})
