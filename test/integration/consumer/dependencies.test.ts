import { expect } from 'chai'
import { type NameServer, startNameServer } from '../../harness/dns.ts'
import { eventually } from '../../harness/eventually.ts'
import { kafkaApi } from '../../harness/proxy.ts'
import { freePorts } from '../../harness/server.ts'
import { type Cluster, eventOf, outageMs, patience, type Role, recordOf, type Scene, startCluster } from './cluster.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Consumer whose dependencies fail', function () {
  this.timeout(300_000)
  let cluster: Cluster
  let scene: Scene

  before(async () => {
    cluster = await startCluster()
  })
  after(() => cluster?.stop())

  const judged = async (consumer: Role, more: number): Promise<void> => {
    const from = (await consumer.status()).events
    await eventually(async () => expect((await consumer.status()).events).to.be.at.least(from + more), patience)
  }

  describe('when replies of the broker are lost', () => {
    let initialised: Promise<unknown>

    before(async () => {
      scene = await cluster.scene({ proxied: true })
      initialised = cluster.kafka.proxy!.cutReply(kafkaApi.InitProducerId, 2)
      await scene.feed(600)
      await scene.consumer({ inference: (await scene.inference()).address })
    })
    after(() => scene?.stop())

    for (const api of [
      'InitProducerId',
      'AddPartitionsToTxn',
      'Produce',
      'AddOffsetsToTxn',
      'TxnOffsetCommit',
      'EndTxn',
    ] as const) {
      it(`stays exact and forgets nothing after that to ${api}`, async () => {
        const cuts =
          api === 'InitProducerId' ? [initialised] : [1, 3].map((n) => cluster.kafka.proxy!.cutReply(kafkaApi[api], n))
        await Promise.all([...cuts, scene.feed(1200)])
        await scene.caughtUp()
        await scene.expectExact()
        await scene.expectAllLearnt()
      })
    }
  })

  describe('when servers are away', () => {
    let consumer: Role

    beforeEach(async () => {
      scene = await cluster.scene()
      consumer = await scene.consumer({ inference: (await scene.inference()).address, stateMebibytes: 1 })
    })
    afterEach(() => scene?.stop())

    it('goes on by itself when the broker is back', async () => {
      const load = scene.load()
      await judged(consumer, 600)
      await cluster.kafka.restart({ downMs: outageMs })
      await judged(consumer, 600)
      await load.stop()
      await scene.caughtUp()
      await scene.expectExact()
      await scene.expectAllLearnt()
    })

    it('judges from memory without Redis, and writes everything back to one that lost it', async () => {
      const load = scene.load()
      await judged(consumer, 600)
      const restarted = cluster.redis.restart({ downMs: outageMs })
      await eventually(async () => expect((await consumer.status()).redis).to.match(/unreachable/), patience)
      const strangers = Array.from({ length: 500 }, (_, i) => ({ ...eventOf(i), userId: `stranger-${i % 50}` }))
      await scene.send(strangers.map(recordOf))
      await judged(consumer, 600)
      await restarted
      await eventually(async () => expect((await consumer.status()).redis).to.equal('ok'), 15_000)
      await judged(consumer, 300)
      await load.stop()
      await scene.caughtUp()
      const verdicts = await scene.expectExact()
      const lacking = verdicts.filter(({ degraded }) => degraded === 'StateUnavailable')
      expect(new Set(lacking.map(({ userId }) => userId.replace(/\d+/, '')))).to.include('stranger-')
      await scene.expectAllLearnt()
      expect(await scene.state.features.names(), 'names of the features').to.include.members(['amount', 'risk'])
    })

    it('writes everything back also when nothing happens any more', async () => {
      await scene.feed(1200)
      await scene.caughtUp()
      await scene.expectAllLearnt()
      await cluster.redis.restart({ downMs: 3000 })
      await scene.expectAllLearnt()
      expect(await scene.state.features.names()).to.include.members(['amount', 'risk'])
    })

    it('keeps within its memory while Redis is away and every key is new', async () => {
      await cluster.redis.kill()
      try {
        for (let from = 0; from < 32_000; from += 1000) {
          const crowd = Array.from({ length: 1000 }, (_, i) => ({ ...eventOf(from + i), userId: `one-${from + i}` }))
          await scene.send(crowd.map(recordOf))
        }
        await scene.caughtUp()
        // One MiB a partition is enough for about 5,300 keys.
        expect((await consumer.status()).keys).to.be.within(20_000, 22_000)
      } finally {
        await cluster.redis.restart()
      }
      await scene.feed(600)
      await scene.caughtUp()
      await scene.expectExact()
    })
  })

  describe('when inference fails', () => {
    const host = 'inference.test'
    let names: NameServer
    let target: string
    let port: number

    before(async () => {
      names = await startNameServer()
      process.env.GRPC_NODE_USE_ALTERNATIVE_RESOLVER = 'true'
    })
    after(async () => {
      delete process.env.GRPC_NODE_USE_ALTERNATIVE_RESOLVER
      await names?.stop()
    })
    beforeEach(async () => {
      ;[port] = (await freePorts(1)) as [number]
      target = `dns://127.0.0.1:${names.port}/${host}:${port}`
      names.answer(['127.0.0.1'])
    })
    afterEach(() => scene?.stop())

    const isHeard = (consumer: Role, heard: boolean, timeoutMs = patience) =>
      eventually(async () => expect((await consumer.status()).inference === 'ok').to.equal(heard), timeoutMs)

    it('says so in its verdicts until inference answers at another address', async () => {
      scene = await cluster.scene()
      const first = await scene.inference({ port })
      const consumer = await scene.consumer({ inference: target })
      const load = scene.load()
      await judged(consumer, 300)
      await first.kill()
      await isHeard(consumer, false)
      await judged(consumer, 300)
      names.answer(['127.0.0.2'])
      await scene.inference({ host: '127.0.0.2', port })
      await isHeard(consumer, true, 15_000)
      await judged(consumer, 300)
      await load.stop()
      await scene.caughtUp()
      const degraded = new Set((await scene.expectExact()).map((verdict) => verdict.degraded))
      expect([...degraded]).to.have.members(['ModelUnavailable', undefined])
      expect((await lastVerdicts()).every((verdict) => verdict.degraded === undefined)).to.equal(true)
    })

    it('says so in its verdicts while inference hangs, and recovers with it', async () => {
      scene = await cluster.scene()
      const inference = await scene.inference({ port })
      const consumer = await scene.consumer({ inference: target })
      const load = scene.load()
      await judged(consumer, 300)
      inference.pause()
      await isHeard(consumer, false)
      await judged(consumer, 300)
      inference.resume()
      await isHeard(consumer, true, 15_000)
      await judged(consumer, 300)
      await load.stop()
      await scene.caughtUp()
      const degraded = new Set((await scene.expectExact()).map((verdict) => verdict.degraded))
      expect([...degraded]).to.have.members(['ModelUnavailable', undefined])
      expect((await lastVerdicts()).every((verdict) => verdict.degraded === undefined)).to.equal(true)
    })

    for (const how of ['is away', 'hangs'] as const) {
      it(`waits while inference ${how} where it is told to`, async () => {
        scene = await cluster.scene({ detection: { onModelUnavailable: 'Wait' } })
        const inference = await scene.inference({ port })
        const consumer = await scene.consumer({ inference: target })
        await scene.feed(600)
        await scene.caughtUp()
        if (how === 'hangs') inference.pause()
        else await inference.kill()
        await scene.feed(600)
        await isHeard(consumer, false)
        expect((await scene.read(scene.topics.results)).length, 'verdicts while it waits').to.equal(600)
        if (how === 'hangs') inference.resume()
        else await scene.inference({ port })
        await isHeard(consumer, true, 15_000)
        await scene.caughtUp()
        const verdicts = await scene.expectExact()
        expect(verdicts.filter((verdict) => verdict.degraded !== undefined)).to.deep.equal([])
        await scene.expectAllLearnt()
      })
    }
  })

  /** Of each partition the last one. */
  async function lastVerdicts(): Promise<{ readonly degraded?: string }[]> {
    const last = new Map<number, { readonly degraded?: string }>()
    for (const { partition, value } of await scene.read(scene.topics.results))
      last.set(partition, JSON.parse(String(value)))
    return [...last.values()]
  }
})
