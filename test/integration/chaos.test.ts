import { expect } from 'chai'
import { runChaos } from '../../bench/chaos/run-chaos.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('A minute of faults at random', function () {
  this.timeout(900_000)

  it('each event has one verdict or one dead letter, in order, and those of aborted transactions have none', async () => {
    const { missing, doubled, invented, disordered, rest, ...counts } = await runChaos({ seed: 16, seconds: 60 })
    expect({ missing, doubled, invented, disordered }, JSON.stringify(counts)).to.deep.equal({
      missing: 0,
      doubled: 0,
      invented: 0,
      disordered: 0,
    })
    expect(rest.missing, 'events that REST answered with 200 and that are not in the topic').to.equal(0)
    expect(counts.events).to.be.at.least(1000)
  })
})
