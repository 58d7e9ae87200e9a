import { expect } from 'chai'
import type { Logger } from '../../lib/log.ts'
import { type Redis, startRedis } from '../../tools/servers/redis.ts'
import { createGrpcScorer, type GrpcScorer } from '../../workloads/scoring/grpc.ts'
import { createRedisState, type RedisState } from '../../workloads/state/redis.ts'
import { eventually } from '../harness/eventually.ts'
import { type Served, serve } from './inference/serve.ts'

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const columns = ['value', 'amount']

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Models of several replicas in Redis', () => {
  let redis: Redis
  let replicas: { readonly state: RedisState; readonly served: Served; readonly scorer: GrpcScorer }[]

  before(async () => {
    redis = await startRedis()
  })
  after(() => redis?.stop())
  beforeEach(async () => {
    replicas = []
    await redis.restart()
    for (const name of ['one', 'other']) await join(name)
  })
  afterEach(async () => {
    for (const { scorer, served, state } of replicas) {
      scorer.stop()
      await served.stop()
      await state.stop!()
    }
  })

  async function join(name: string) {
    const settings = { encoding: 0, profileTtlSeconds: 60, featureTtlSeconds: 60, maxFeatures: 10, log: silent }
    const state = createRedisState({ url: redis.url, ...settings })
    await state.start!(new AbortController().signal)
    const served = await serve({ models: state.models, replica: name })
    const replica = { state, served, scorer: createGrpcScorer({ address: served.address }) }
    replicas.push(replica)
    return replica
  }
  async function learn(index: number, count: number): Promise<void> {
    const rows = Float64Array.from({ length: count * columns.length }, Math.random)
    await replicas[index]!.scorer.score({ columns, rows, count, explainFrom: 3 })
  }
  const versions = () => Promise.all(replicas.map(async ({ served }) => (await served.status()).modelVersion))
  async function inStep(): Promise<string> {
    await eventually(async () => {
      const [first, ...others] = await versions()
      expect(first).to.match(/^forest-/)
      expect(new Set(others)).to.deep.equal(new Set([first]))
    })
    return (await versions())[0]!
  }

  it('all use the model of what all have seen', async () => {
    await learn(0, 600)
    const first = await inStep()
    await learn(1, 5000)
    await eventually(async () => expect((await versions())[0]).to.not.equal(first))
    const second = await inStep()
    expect(Number(second.split('-')[1])).to.equal(5600)
    expect(await replicas[0]!.state.models.current()).to.include({ version: second, rowsSeen: 5600 })
  })

  it('score on while Redis is away, and give it the model again when it comes back empty', async () => {
    await learn(0, 600)
    const version = await inStep()
    await redis.kill()
    for (const [index, { served }] of replicas.entries()) {
      await learn(index, 10)
      await eventually(async () => expect((await served.status()).store).to.include('Redis'))
      expect((await served.probe('/readyz')).status).to.equal(200)
    }
    expect(await versions()).to.deep.equal([version, version])
    await redis.restart()
    await eventually(async () => expect((await replicas[0]!.state.models.current())?.version).to.equal(version))
    const { served } = await join('newcomer')
    expect((await served.status()).modelVersion).to.equal(version)
  })

  it('keep theirs when the stored one is damaged, and say so', async () => {
    await learn(0, 600)
    const version = await inStep()
    const { models } = replicas[0]!.state
    await models.put(
      'forest-700-damaged',
      Uint8Array.from({ length: 1000 }, (_, i) => i),
    )
    expect(await models.swap(version, { version: 'forest-700-damaged', rowsSeen: 700 })).to.equal('Swapped')
    for (const { served } of replicas) {
      await eventually(async () =>
        expect((await served.probe('/metrics')).text).to.include(
          'anomaly_artifacts_refused_total{what="model",reason="Damaged"} 1',
        ),
      )
      expect((await served.probe('/readyz')).status).to.equal(200)
    }
    expect(await versions()).to.deep.equal([version, version])
    await learn(1, 2000)
    await eventually(async () => expect((await versions())[0]).to.match(/^forest-2600-/))
    await inStep()
  })
})
