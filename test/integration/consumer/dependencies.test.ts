import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { type NameServer, startNameServer } from '../../../tools/servers/dns.ts'
import type { Kafka } from '../../../tools/servers/kafka/kafka.ts'
import { kafkaApi } from '../../../tools/servers/proxy.ts'
import { freePorts } from '../../../tools/servers/server.ts'
import { eventually } from '../../harness/eventually.ts'
import {
  type Cluster,
  eventOf,
  judged,
  type Load,
  outageMs,
  patience,
  type Role,
  recordOf,
  type Scene,
  startCluster,
} from './cluster.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Consumer whose dependencies fail', () => {
  let cluster: Cluster
  let scene: Scene

  before(async () => {
    cluster = await startCluster()
  })
  after(() => cluster?.stop())

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
        const load = scene.load()
        await (api === 'InitProducerId' ? initialised : cut(api, 1, 3, 6))
        await afterwards(load)
      })
    }

    it('stays exact and forgets nothing after that to EndTxn, and those to all that looks for its outcome', async () => {
      const load = scene.load()
      await Promise.all(
        (['EndTxn', 'InitProducerId', 'OffsetFetch', 'FindCoordinator'] as const).map((api) => cut(api, 1)),
      )
      await afterwards(load)
    })

    const cut = (api: keyof typeof kafkaApi, ...each: readonly number[]) =>
      Promise.all(each.map((n) => cluster.kafka.proxy!.cutReply(kafkaApi[api], n)))
    async function afterwards(load: Load): Promise<void> {
      await load.stop()
      await scene.caughtUp()
      await scene.expectExact()
      await scene.expectAllLearnt()
    }
  })

  describe('when servers are away', () => {
    let consumer: Role

    beforeEach(async () => {
      scene = await cluster.scene()
      consumer = await scene.consumer({ inference: (await scene.inference()).address, stateMebibytes: 4 })
    })
    afterEach(() => scene?.stop())

    const outages = {
      'was stopped': (kafka: Kafka) => kafka.restart({ downMs: outageMs }),
      'stood still': async (kafka: Kafka) => {
        kafka.pause()
        await delay(outageMs)
        kafka.resume()
      },
    }
    for (const [how, outage] of Object.entries(outages)) {
      it(`goes on by itself when the broker is back that ${how}, says meanwhile that it is away, and stays live`, async () => {
        const load = scene.load()
        await judged(consumer, 600)
        const watch = watchProbes(consumer)
        await outage(cluster.kafka)
        await judged(consumer, 600)
        await eventually(async () => expect(await consumer.probe('readyz')).to.include({ ok: true }), patience)
        const { deaths, reasons } = await watch.stop()
        expect(deaths, 'answers of /livez').to.deep.equal([])
        expect(reasons.join('\n')).to.match(/^\[-\]kafka failed: (no answer for \d+ s|Kafka: )/m)
        await load.stop()
        await scene.caughtUp()
        await scene.expectExact()
        await scene.expectAllLearnt()
      })
    }

    it('judges from memory without Redis, and writes everything back to one that lost it', async () => {
      const load = scene.load()
      await judged(consumer, 600)
      const watch = watchProbes(consumer)
      const restarted = cluster.redis.restart({ downMs: outageMs })
      await eventually(async () => expect((await consumer.status()).redis).to.match(/unreachable/), patience)
      const strangers = Array.from({ length: 500 }, (_, i) => ({ ...eventOf(i), userId: `stranger-${i % 50}` }))
      await scene.send(strangers.map(recordOf))
      await judged(consumer, 600)
      await restarted
      await eventually(async () => expect((await consumer.status()).redis).to.equal('ok'), 15_000)
      await judged(consumer, 300)
      expect(await watch.stop(), 'it can do its work all the while').to.deep.equal({ deaths: [], reasons: [] })
      await load.stop()
      await scene.caughtUp()
      const verdicts = await scene.expectExact()
      const lacking = verdicts.filter(({ degraded }) => degraded === 'StateUnavailable')
      expect(new Set(lacking.map(({ userId }) => userId.replace(/\d+/, '')))).to.include('stranger-')
      await scene.expectAllLearnt()
      expect(await scene.state.features.names(), 'names of the features').to.include.members(['amount', 'risk'])
    })

    it('judges from memory while Redis stands still, and loses nothing', async () => {
      const load = scene.load()
      await judged(consumer, 1200)
      cluster.redis.pause()
      try {
        await eventually(async () => expect((await consumer.status()).redis).to.match(/unreachable/), patience)
        await judged(consumer, 600)
        expect((await consumer.probe('readyz')).ok && (await consumer.probe('livez')).ok).to.equal(true)
      } finally {
        cluster.redis.resume()
      }
      await eventually(async () => expect((await consumer.status()).redis).to.equal('ok'), 15_000)
      await judged(consumer, 300)
      await load.stop()
      await scene.caughtUp()
      await scene.expectExact()
      await scene.expectAllLearnt()
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
        for (let from = 0; from < 48_000; from += 1000) {
          const crowd = Array.from({ length: 1000 }, (_, i) => ({ ...eventOf(from + i), userId: `one-${from + i}` }))
          await scene.send(crowd.map(recordOf))
        }
        await scene.caughtUp()
        // Four MiB are enough for about 21,000 keys; those of the last transactions come on top.
        await eventually(async () => expect((await consumer.status()).keys).to.be.within(20_000, 31_000))
      } finally {
        await cluster.redis.restart()
      }
      await scene.feed(600)
      await scene.caughtUp()
      await scene.expectExact()
    })
  })

  describe('when it is to end while', () => {
    const wait = { detection: { onModelUnavailable: 'Wait' } }
    const faults: Readonly<Record<string, readonly [fault: (inference: Role) => void, options?: object]>> = {
      'Kafka cannot be reached': [() => cluster.kafka.proxy!.drop()],
      'Kafka does not answer': [() => cluster.kafka.proxy!.stall()],
      'Redis does not answer': [() => cluster.redis.pause()],
      'inference does not answer and it waits for that': [(inference) => inference.pause(), wait],
    }
    afterEach(async () => {
      cluster.kafka.proxy!.accept()
      cluster.kafka.proxy!.flow()
      cluster.redis.resume()
      await scene?.stop()
    })

    for (const [what, [fault, options]] of Object.entries(faults)) {
      it(`${what}, it ends in time, and the next one goes on`, async () => {
        scene = await cluster.scene({ proxied: true, ...options })
        const inference = await scene.inference()
        const consumer = await scene.consumer({ inference: inference.address })
        const load = scene.load()
        await judged(consumer, 1000)
        fault(inference)
        await eventually(async () => {
          const { kafka, redis, inference } = await consumer.status()
          expect([kafka, redis, inference]).to.not.deep.equal(['ok', 'ok', 'ok'])
        }, patience)
        expect(await consumer.stop(patience), 'exit code').to.equal(0)
        expect(consumer.log()).not.to.match(/did not stop in time|cannot stop cleanly/)
        cluster.kafka.proxy!.accept()
        cluster.kafka.proxy!.flow()
        cluster.redis.resume()
        inference.resume()
        const next = await scene.consumer({ inference: inference.address })
        await judged(next, 500)
        await load.stop()
        await scene.caughtUp()
        await scene.expectExact()
      })
    }
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
        expect((await consumer.probe('readyz')).failing).to.match(/^\[-\]inference failed: inference at /)
        expect((await consumer.probe('livez')).ok).to.equal(true)
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

  /** Asks for its health all the time: what /livez answered but ok, and the checks of /readyz that failed. */
  function watchProbes(role: Role) {
    const deaths: string[] = []
    const reasons = new Set<string>()
    const over = new AbortController()
    const watching = (async () => {
      for (; !over.signal.aborted; await delay(200)) {
        const live = await role.probe('livez')
        if (!live.ok) deaths.push(live.failing)
        const ready = await role.probe('readyz')
        if (!ready.ok) reasons.add(ready.failing)
      }
    })()
    watching.catch(() => {})
    return {
      async stop() {
        over.abort()
        await watching
        return { deaths, reasons: [...reasons] }
      },
    }
  }

  /** Of each partition the last one. */
  async function lastVerdicts(): Promise<{ readonly degraded?: string }[]> {
    const last = new Map<number, { readonly degraded?: string }>()
    for (const { partition, value } of await scene.read(scene.topics.results))
      last.set(partition, JSON.parse(String(value)))
    return [...last.values()]
  }
})
