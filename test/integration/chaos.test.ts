import { expect } from 'chai'
import { runChaos } from '../../bench/chaos/run-chaos.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('A minute of faults at random', function () {
  this.timeout(900_000)

  it('each event has one verdict or one dead letter, in order, and those of aborted transactions have none', async () => {
    const result = await runChaos({ seed: 16, seconds: 60 })
    expect(result.isExact, JSON.stringify(result)).to.equal(true)
    expect(result.events).to.be.at.least(1000)
  })
})
