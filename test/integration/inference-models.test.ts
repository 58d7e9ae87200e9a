import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect } from 'chai'
import type { Logger } from '../../lib/log.ts'
import { fixedPipeline, type LivePipeline } from '../../lib/pipeline/live-pipeline.ts'
import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import { type Redis, startRedis } from '../../tools/servers/redis.ts'
import { createGrpcScorer, type GrpcScorer } from '../../workloads/scoring/grpc.ts'
import { createRedisState, type RedisState } from '../../workloads/state/redis.ts'
import { eventually } from '../harness/eventually.ts'
import { pipelineOf, type Served, serve } from './inference/serve.ts'

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const columns = ['value', 'amount']

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Models of several replicas in Redis', () => {
  let redis: Redis
  let replicas: { readonly state: RedisState; readonly served: Served; readonly scorer: GrpcScorer }[]

  /** As the pipeline's file has it now. */
  let model: DetectionSpec['model']
  const fixed = fixedPipeline(pipelineOf())
  const live: LivePipeline = {
    ...fixed,
    get detection() {
      return { ...fixed.detection, ...(model && { model }) }
    },
  }

  before(async () => {
    redis = await startRedis()
  })
  after(() => redis?.stop())
  beforeEach(async () => {
    replicas = []
    model = undefined
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
    const served = await serve({ models: state.models, replica: name, live })
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

  it('go back to a version, hold it, let another challenge it, and say where one is gone, without a restart', async () => {
    await learn(0, 600)
    const first = await inStep()
    await learn(1, 5000)
    await eventually(async () => expect((await versions())[0]).to.not.equal(first))
    const second = await inStep()
    model = { pin: first }
    await eventually(async () => expect(await versions()).to.deep.equal([first, first]))
    await learn(0, 5000)
    await eventually(async () =>
      expect((await replicas[0]!.served.probe('/metrics')).text).to.include(
        'anomaly_model_fits_total{outcome="Held"} 1',
      ),
    )
    const { served } = await join('newcomer')
    expect((await served.status()).modelVersion).to.equal(first)

    model = { challenger: { version: first, percentOfKeys: 40 } }
    const everyone = replicas.map((replica) => replica.served)
    await eventually(async () => {
      for (const one of everyone) {
        const { modelVersion, challenger } = await one.status()
        expect([modelVersion, challenger?.challenger.version]).to.deep.equal([second, first])
      }
    })
    const keyIds = Uint32Array.from({ length: 200 }, (_, i) => 1 + i)
    const batch = { columns, rows: Float64Array.from({ length: 400 }, Math.random), count: 200, explainFrom: 3, keyIds }
    const [scored, again] = [await replicas[0]!.scorer.score(batch), await replicas[2]!.scorer.score(batch)]
    const versionsOf = ({ modelVersionOf }: typeof scored) => Array.from(keyIds, (_, row) => modelVersionOf(row))
    expect(new Set(versionsOf(scored))).to.deep.equal(new Set([first, second]))
    expect(versionsOf(again)).to.deep.equal(versionsOf(scored))
    const { challenger } = await everyone[0]!.status()
    expect(challenger!.challenger.rows + challenger!.champion.rows).to.equal(200)
    expect(challenger!.agreement).to.be.within(0.3, 1)

    model = { pin: 'forest-1-gone', challenger: { version: 'forest-2-gone', percentOfKeys: 5 } }
    await eventually(async () =>
      expect((await everyone[1]!.status()).modelProblems).to.deep.equal({
        pin: 'model forest-1-gone is not kept',
        challenger: 'model forest-2-gone is not kept',
      }),
    )
    expect((await everyone[1]!.status()).modelVersion).to.equal(second)
    expect((await everyone[1]!.probe('/readyz')).status).to.equal(200)
  })

  it('are listed by a command, with what they were fitted on', async () => {
    await learn(0, 600)
    const version = await inStep()
    const command = ['bin/anomaly.ts', 'models', '-f', 'manifests/pipelines/minimal.yaml', '--redis-url', redis.url]
    const { stdout } = await promisify(execFile)(process.execPath, command)
    expect(stdout).to.match(new RegExp(`^VERSION .*\n${version} +champion +600 +2 .* First `))
    const [line] = (await promisify(execFile)(process.execPath, [...command, '--json'])).stdout.split('\n')
    expect(JSON.parse(line!)).to.include({ version, rows: 600, outcome: 'First' })
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
