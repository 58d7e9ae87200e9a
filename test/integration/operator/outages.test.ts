import { expect } from 'chai'
import { Registry } from 'prom-client'
import * as kinds from '../../../operator/kinds.ts'
import { createOperatorMetrics } from '../../../operator/operator-metrics.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, useOperator } from '../../harness/operator.ts'

describe('Operator: outages', () => {
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
    await eventually(async () => expect(await replicasOf('payments-api')).to.equal(replicas))
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
    await eventually(async () => expect(await replicasOf('payments-api')).to.equal(6))
    expect(operator.status()).to.include({ leads: true })
  })

  const converges = (replicas: number) =>
    eventually(async () => expect(await replicasOf('payments-api')).to.equal(replicas))

  it('converges through a storm of 429, and does not add to it', async () => {
    await bench.start()
    await follows(3)
    await bench.quiet(300)
    cluster.proxy.clear()
    const calm = cluster.proxy.fault({ kind: 'status', code: 429, retryAfterSeconds: 1 })
    cluster.proxy.cut()
    await apply(4)
    const seconds = 5
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
    // A dozen watches and the Lease: each asks again when it was told to, and no sooner.
    expect(cluster.proxy.requests.length).to.be.within(seconds, seconds * 25)
    calm()
    await converges(4)
  })

  it('lists anew where its watches are too old, and finds what changed meanwhile', async () => {
    await bench.start()
    await follows(3)
    await bench.quiet(300)
    cluster.proxy.clear()
    cluster.proxy.fault({ kind: 'status', code: 410 }, { verbs: ['watch'], times: 11 })
    cluster.proxy.cut()
    await apply(4)
    await converges(4)
    await eventually(() => expect(cluster.proxy.count(['list'])).to.be.at.least(11))
  })

  it('notices connections that are half open, and finds what changed meanwhile', async () => {
    await bench.start()
    await follows(3)
    await bench.quiet(300)
    cluster.proxy.clear()
    cluster.proxy.silenceWatches()
    await apply(4)
    await converges(4)
    // It goes on where it was: nothing needs to be listed anew.
    expect(cluster.proxy.count(['list'])).to.equal(0)
  })

  it('starts while the API server is away', async () => {
    await apply(3)
    const back = cluster.proxy.blackhole()
    const operator = await bench.start()
    expect(operator.cacheProblem()).to.not.equal(undefined)
    back()
    await eventually(async () => expect(await replicasOf('payments-api')).to.equal(3))
    expect(operator.cacheProblem()).to.equal(undefined)
  })

  it('is dead, and says so, where its work ends by an error', async () => {
    const deaths: unknown[] = []
    const metrics = createOperatorMetrics(new Registry())
    const operator = await bench.start({
      metrics: {
        ...metrics,
        setLeader(leads) {
          if (leads) throw new Error('no more')
        },
      },
      onDeath: (error) => deaths.push(error),
    })
    expect(operator.deathProblem()).to.equal(undefined)
    await eventually(() => expect(operator.deathProblem()).to.equal('the operator ended: no more'))
    expect(deaths).to.have.length(1)
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

  it('does not let a pipeline that always fails, or that holds the worker that has it, delay a hundred others', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `p${index}`)
    const broken = await bench.namespace()
    const path = `/namespaces/${broken}/`
    await bench.start()
    await Promise.all(names.map((name) => bench.apply(namespace, minimalSpec, { name })))
    await eventually(async () => {
      const { items } = await bench.client.list(kinds.deployments, { namespace })
      expect(items).to.have.length(300)
    })
    await bench.quiet(500)
    /** Edits each of the hundred, and waits until all have come to their Deployments. */
    async function edit(replicas: number): Promise<void> {
      await Promise.all(names.map((name) => bench.apply(namespace, { ...minimalSpec, api: { replicas } }, { name })))
      await eventually(async () => {
        const { items } = await bench.client.list(kinds.deployments, { namespace })
        const done = items.filter(
          ({ metadata, spec }) =>
            metadata.name.endsWith('-api') && (spec as { replicas: number }).replicas === replicas,
        )
        expect(done).to.have.length(100)
      })
    }
    const passes = () => names.reduce((sum, name) => sum + bench.reconciles(namespace, name), 0)

    const failing = cluster.proxy.fault({ kind: 'status', code: 500 }, { verbs: ['apply'], path })
    await bench.apply(broken)
    await eventually(() => expect(bench.reconciles(broken)).to.be.at.least(3))
    const before = [passes(), bench.reconciles(broken)] as const
    await edit(3)
    await edit(4)
    const [theirs, own] = [passes() - before[0], bench.reconciles(broken) - before[1]]
    expect(theirs).to.be.at.least(200)
    expect(own / theirs).to.be.below(0.05)

    failing()
    const holding = cluster.proxy.fault({ kind: 'silence' }, { verbs: ['apply'], path })
    cluster.proxy.clear()
    await eventually(() => expect(cluster.proxy.count(['apply'], path)).to.equal(1))
    const held = bench.reconciles(broken)
    await edit(5)
    // A call is given up after 30 seconds.
    expect(bench.reconciles(broken) - held).to.be.at.most(2)

    holding()
    cluster.proxy.cut()
    await eventually(async () => expect(await bench.children(broken)).to.have.length(21))
  })
})
