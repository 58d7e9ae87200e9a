import { expect } from 'chai'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, owned, patience, type Role, type Scene, startCluster } from './cluster.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Consumers of a group', function () {
  this.timeout(300_000)
  let cluster: Cluster
  let scene: Scene
  let inference: string

  before(async () => {
    cluster = await startCluster()
  })
  after(() => cluster?.stop())
  beforeEach(async () => {
    scene = await cluster.scene()
    inference = (await scene.inference()).address
  })
  afterEach(() => scene?.stop())

  const ownsAll = (role: Role) => eventually(async () => expect(await owned(role)).to.equal(4), patience)
  const share = (roles: readonly Role[]) =>
    eventually(async () => {
      const shares = await Promise.all(roles.map(owned))
      expect(Math.min(...shares), 'the smallest share').to.be.greaterThan(0)
      expect(shares.reduce((a, b) => a + b, 0)).to.equal(4)
    }, patience)

  it('lose nothing and judge nothing twice when one of two is killed five times in a row', async () => {
    const load = scene.load()
    let pair = [await scene.consumer({ inference }), await scene.consumer({ inference, isAlone: false })] as const
    await share(pair)
    for (let round = 0; round < 5; round++) {
      const [victim, survivor] = pair
      await victim.kill()
      const before = (await survivor.status()).events
      await ownsAll(survivor)
      await eventually(async () => expect((await survivor.status()).events).to.be.greaterThan(before), patience)
      pair = [survivor, await scene.consumer({ inference, isAlone: false })]
      await share(pair)
    }
    await load.stop()
    await scene.caughtUp()
    await scene.expectExact()
  })

  it('are not harmed by one that wakes up after its session has ended', async () => {
    const load = scene.load()
    const zombie = await scene.consumer({ inference })
    const heir = await scene.consumer({ inference, isAlone: false })
    await share([zombie, heir])
    zombie.pause()
    await ownsAll(heir)
    await load.stop()
    await scene.caughtUp()
    await eventually(async () => expect(await heir.metrics()).to.match(/^anomaly_state_pending_keys 0$/m), patience)
    const before = await scene.learnt()
    const epochs = await scene.epochs()
    zombie.resume()
    await share([zombie, heir])
    expect(Object.fromEntries(await scene.learnt()), 'after the zombie woke up').to.deep.equal(
      Object.fromEntries(before),
    )
    for (const [partition, epoch] of (await scene.epochs()).entries())
      expect(epoch, `epoch of partition ${partition}`).to.be.at.least(epochs[partition]!)
    await scene.feed(1200)
    await scene.caughtUp()
    await scene.expectExact()
    await eventually(async () => {
      const learnt = await scene.learnt()
      for (const [name, count] of before) expect(learnt.get(name), name).to.equal(count + 20)
    }, patience)
  })

  it('end in time on SIGTERM, with all that they have learnt written', async () => {
    const load = scene.load()
    const first = await scene.consumer({ inference })
    await eventually(async () => expect((await first.status()).events).to.be.greaterThan(500), patience)
    const asked = performance.now()
    await first.stop(30_000)
    expect(performance.now() - asked, 'ms until it ended').to.be.lessThan(20_000)
    expect(first.log()).not.to.match(/did not stop in time|cannot stop cleanly/)
    const second = await scene.consumer({ inference })
    await eventually(async () => expect((await second.status()).events).to.be.greaterThan(500), patience)
    await second.stop(30_000)
    await scene.consumer({ inference })
    await load.stop()
    await scene.caughtUp()
    await scene.expectExact()
    await scene.expectAllLearnt()
  })

  it('share the work with one that joins, take over from one that leaves, and read partitions that are added', async () => {
    const load = scene.load()
    const [first, second] = [await scene.consumer({ inference }), await scene.consumer({ inference, isAlone: false })]
    await share([first, second])
    const third = await scene.consumer({ inference, isAlone: false })
    await share([first, second, third])
    await third.stop()
    await share([first, second])
    await load.stop()
    await scene.caughtUp()
    await scene.expectAllLearnt()
    await scene.expectExact()

    await scene.addPartitions(6)
    await scene.feed(600)
    await eventually(async () => expect((await owned(first)) + (await owned(second))).to.equal(6), patience)
    await scene.feed(600)
    await scene.caughtUp()
    expect(new Set((await scene.read(scene.topics.source)).map(({ partition }) => partition)).size).to.equal(6)
    await scene.expectExact({ isOrdered: false })
  })
})
