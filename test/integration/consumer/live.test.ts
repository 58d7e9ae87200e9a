import { expect } from 'chai'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, patience, startCluster } from './cluster.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('A pipeline that changes while its processes run', function () {
  this.timeout(patience)
  let cluster: Cluster
  before(async () => {
    cluster = await startCluster()
  })
  after(() => cluster?.stop())

  it('is taken up by all of them without a restart, exactly once, and refused where it is not valid', async () => {
    const detection = { refractorySeconds: 0, detectors: [{ name: 'profile', profile: {} }] }
    const scene = await cluster.scene({ detection: { ...detection, alertBudgetPerMillion: 1000 } })
    const inference = await scene.inference()
    const consumer = await scene.consumer({ inference: inference.address })
    const api = await scene.api({ inference: inference.address })
    const roles = [inference, consumer, api]
    const load = scene.load()
    await eventually(async () => expect((await consumer.status()).events).to.be.above(2000))

    const all = { name: 'all', field: 'value', above: '-1' }
    scene.edit({ generation: 2, detection: { ...detection, alertBudgetPerMillion: 5000, rules: [all] } })
    await eventually(async () => {
      for (const role of roles) expect((await role.status()).generation).to.equal(2)
    })
    const { body } = await fetch(`${api.url}/api/v1/detect`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ eventId: 'by-rest', userId: 'u', value: 5 }),
    }).then(async (response) => ({ body: (await response.json()) as { readonly isAnomaly?: boolean } }))
    expect(body.isAnomaly).to.equal(true)

    scene.edit('{"kind":"AnomalyPipeline","spec":{"detection":{"threshold":7}}}')
    await eventually(() => {
      for (const role of roles) expect(role.log()).to.include('the changed pipeline is refused: the former one stays')
    })
    const { events } = await consumer.status()
    await eventually(async () => expect((await consumer.status()).events).to.be.above(events + 500))
    scene.edit({ generation: 4, detection: { ...detection, threshold: '0.5' } })
    await eventually(async () => expect((await consumer.status()).generation).to.equal(4))
    const before = (await consumer.status()).events
    await eventually(async () => expect((await consumer.status()).events).to.be.above(before + 1500))
    await load.stop()
    await scene.caughtUp()

    const verdicts = await scene.expectExact()
    const byRule = verdicts.filter(({ reasons }) => reasons.some(({ rule }) => rule === 'all'))
    expect(byRule.length, 'the rule of the second generation, also while the third was refused').to.be.above(500)
    expect(verdicts.filter(({ threshold }) => threshold === 0.5).length).to.be.above(500)
    for (const role of roles) expect(role.log().match(/"msg":"(started|ready)"/g), role.log()).to.have.length(1)
  })
})
