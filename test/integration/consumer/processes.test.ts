import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { Redis as Client } from 'ioredis'
import { kafkaApi } from '../../../tools/servers/proxy.ts'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, judged, owned, patience, type Role, type Scene, startCluster } from './cluster.ts'

const run = promisify(execFile)
const anomaly = join(import.meta.dirname, '../../../bin/anomaly')

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Consumers of a group', () => {
  let cluster: Cluster
  let scene: Scene
  let inference: string
  let scorer: Role

  before(async () => {
    cluster = await startCluster()
  })
  after(() => cluster?.stop())
  beforeEach(async () => {
    const rules = [{ name: 'far', field: 'value', above: '1000' }]
    scene = await cluster.scene({ proxied: true, detection: { rules } })
    const started = await scene.inference()
    scorer = started
    inference = started.address
  })
  afterEach(() => scene?.stop())

  const ownsAll = (role: Role) => eventually(async () => expect(await owned(role)).to.equal(4), patience)
  const share = (roles: readonly Role[], partitions = 4) =>
    eventually(async () => {
      const shares = await Promise.all(roles.map(owned))
      expect(Math.min(...shares), 'the smallest share').to.be.greaterThan(0)
      expect(shares.reduce((a, b) => a + b, 0)).to.equal(partitions)
    }, patience)
  const written = (role: Role) =>
    eventually(async () => expect(await role.metrics()).to.match(/^anomaly_state_pending_keys 0$/m), patience)

  it('lose nothing and judge nothing twice when one of two is killed five times in a row, within transactions', async () => {
    const load = scene.load()
    let pair = [await scene.consumer({ inference }), await scene.consumer({ inference, isAlone: false })] as const
    await share(pair)
    for (const step of ['AddPartitionsToTxn', 'Produce', 'AddOffsetsToTxn', 'TxnOffsetCommit', 'EndTxn'] as const) {
      const [victim, survivor] = pair
      await cluster.kafka.proxy!.cutReply(kafkaApi[step])
      await victim.kill()
      await ownsAll(survivor)
      await judged(survivor, 500)
      pair = [survivor, await scene.consumer({ inference, isAlone: false })]
      await share(pair)
    }
    await load.stop()
    await scene.caughtUp()
    await scene.expectExact()
  })

  for (const step of ['AddOffsetsToTxn', 'EndTxn'] as const) {
    it(`are not harmed by one that stands still at ${step} and wakes up after its session has ended`, async () => {
      const load = scene.load()
      const zombie = await scene.consumer({ inference })
      await judged(zombie, 1000)
      await cluster.kafka.proxy!.passed(kafkaApi[step])
      zombie.pause()
      const heir = await scene.consumer({ inference })
      await judged(heir, 500)
      await load.stop()
      await scene.caughtUp()
      await written(heir)
      const [learnt, events] = [await scene.learnt(), await scene.events()]
      const epochs = await scene.epochs()

      const more = scene.load()
      zombie.resume()
      await share([zombie, heir])
      await judged(zombie, 500)
      await more.stop()
      await scene.caughtUp()
      await scene.expectExact()
      // Which of the two it hears first when it wakes up: the broker's answer, or its own clock.
      if (step === 'AddOffsetsToTxn')
        expect(zombie.log()).to.match(/fenced: another process owns the partition|its outcome is being looked up/)
      for (const [partition, epoch] of (await scene.epochs()).entries())
        expect(epoch, `epoch of partition ${partition}`).to.be.at.least(epochs[partition]!)
      const since = (now: ReadonlyMap<string, number>, before: ReadonlyMap<string, number>) =>
        Object.fromEntries(Array.from(now, ([name, count]) => [name, count - (before.get(name) ?? 0)]))
      await eventually(async () =>
        expect(since(await scene.learnt(), learnt), 'learnt since the zombie woke up').to.deep.equal(
          since(await scene.events(), events),
        ),
      )
    })
  }

  it('end in time on SIGTERM, with all that they have learnt written, and episodes that go on elsewhere', async () => {
    const load = scene.load()
    for (let round = 0; round < 2; round++) {
      const consumer = await scene.consumer({ inference })
      await judged(consumer, 1000)
      expect(await consumer.stop(patience), 'exit code').to.equal(0)
      expect(consumer.log()).not.to.match(/did not stop in time|cannot stop cleanly/)
    }
    const last = await scene.consumer({ inference })
    await load.stop()
    await scene.caughtUp()
    await scene.expectExact()
    await scene.expectAllLearnt()
    await scene.expectEpisodesExact([last])
  })

  it('go on in another Redis with all that they have learnt, where it was copied, and judge nothing twice', async () => {
    const load = scene.load()
    const former = await scene.consumer({ inference })
    await judged(former, 1000)
    expect([await former.stop(patience), await scorer.stop(patience)]).to.deep.equal([0, 0])
    // There and back: the processes of a scene have one address.
    const [own, other] = [scene.database, 15].map((database) => `${cluster.redis.url}/${database}`) as [string, string]
    const copy = (...flags: readonly string[]) => run(anomaly, ['state', 'copy', ...flags])
    await copy('--from', own, '--to', other, '--to-prefix', 'moved:')
    const client = new Client(own)
    await client.flushdb().finally(() => client.disconnect())
    await copy('--from', other, '--from-prefix', 'moved:', '--to', own)

    const last = await scene.consumer({ inference: (await scene.inference()).address })
    await judged(last, 1000)
    await load.stop()
    await scene.caughtUp()
    await scene.expectExact()
    await scene.expectAllLearnt()
    await scene.expectEpisodesExact([last])
  })

  it('go on with each episode of one that was killed, though it is not written what that knew last', async () => {
    const load = scene.load()
    for (let round = 0; round < 3; round++) {
      const consumer = await scene.consumer({ inference })
      await judged(consumer, 1000)
      await eventually(async () => expect(Math.min(...(await scene.epochs()))).to.be.above(0), patience)
      cluster.redis.pause()
      // What is on its way to Redis is read when that goes on.
      await delay(2000)
      await judged(consumer, 2000)
      await consumer.kill()
      cluster.redis.resume()
    }
    const last = await scene.consumer({ inference })
    await judged(last, 2000)
    await load.stop()
    await scene.caughtUp()
    await scene.expectExact()
    await scene.expectEpisodesExact([last])
  })

  it('share the work with one that joins, take over from one that leaves, and read partitions that are added', async () => {
    const load = scene.load()
    const [first, second] = [await scene.consumer({ inference }), await scene.consumer({ inference, isAlone: false })]
    await share([first, second])
    const third = await scene.consumer({ inference, isAlone: false })
    await share([first, second, third])
    await judged(third, 200)
    await third.stop()
    await share([first, second])
    await scene.addPartitions(6)
    await share([first, second], 6)
    await judged(second, 1000)
    await load.stop()
    await scene.caughtUp()
    expect(new Set((await scene.read(scene.topics.source)).map(({ partition }) => partition)).size).to.equal(6)
    await scene.expectExact()
    await scene.expectAllLearnt()
    await scene.expectEpisodesExact([first, second])
  })
})
