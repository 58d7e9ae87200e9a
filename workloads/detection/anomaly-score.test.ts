import { expect } from 'chai'
import { anomalyScoreOf, surprisalOf } from './anomaly-score.ts'

describe('anomalyScoreOf()', () => {
  it('is one minus the tail probability', () => {
    expect(anomalyScoreOf(Math.log(1000))).to.be.closeTo(0.999, 1e-12)
    expect(anomalyScoreOf(0)).to.equal(0)
  })

  it('never ties, however surprising', () => {
    let last = -1
    for (let surprisal = 0.01; surprisal < 2000; surprisal *= 1.01) {
      const score = anomalyScoreOf(surprisal)
      expect(score).to.be.greaterThan(last).and.lessThan(1)
      last = score
    }
  })

  it('is undone by surprisalOf()', () => {
    for (const surprisal of [0, 0.1, 1, 6.9, 13.8, 14, 40, 300])
      expect(surprisalOf(anomalyScoreOf(surprisal))).to.be.closeTo(surprisal, 1e-4 * surprisal)
  })
})
