import { expect } from 'chai'
import { calibrate } from './score-calibration.ts'

const prior = { excess: 0.02, count: 10 }

describe('calibrate()', () => {
  const sample = Float64Array.from({ length: 999 }, (_, i) => (i + 1) / 1000)

  it('gives -ln of the share of points at or above, itself counted', () => {
    const surprisal = calibrate(sample, prior)
    expect(surprisal(0.001)).to.equal(0)
    expect(surprisal(0.5)).to.be.closeTo(-Math.log(501 / 1000), 1e-12)
    expect(surprisal(0.9)).to.be.closeTo(-Math.log(101 / 1000), 1e-12)
    expect(surprisal(0.5005)).to.be.closeTo(-Math.log(500.5 / 1000), 1e-5)
  })

  it('goes on beyond the upper 5 % by the mean excess of the points and the prior', () => {
    const surprisal = calibrate(sample, prior)
    // Fifty points from 0.95 on; their excesses are 0, 0.001, … 0.049.
    const meanExcess = (0.001 * ((49 * 50) / 2) + 0.02 * 10) / 60
    expect(surprisal(0.95)).to.be.closeTo(-Math.log(51 / 1000), 1e-12)
    expect(surprisal(5)).to.be.closeTo(-Math.log(51 / 1000) + (5 - 0.95) / meanExcess, 1e-9)
  })

  it('increases strictly and without a jump', () => {
    const surprisal = calibrate(sample, prior)
    let before = surprisal(0.0009)
    expect(before).to.equal(0)
    for (let score = 0.00105; score < 2; score += 0.0001) {
      const now = surprisal(score)
      expect(now).to.be.greaterThan(before)
      expect(now - before).to.be.lessThan(0.01)
      before = now
    }
    expect(surprisal(1e9)).to.be.greaterThan(surprisal(1e8))
  })

  it('finds what is common not surprising, though nothing be higher', () => {
    expect(calibrate(new Float64Array(1000).fill(0.5), prior)(0.5)).to.equal(0)
    const twoKinds = Float64Array.from({ length: 1000 }, (_, i) => (i < 700 ? 0.4 : 0.6))
    const surprisal = calibrate(twoKinds, prior)
    expect(surprisal(0.4)).to.equal(0)
    expect(surprisal(0.6)).to.be.closeTo(-Math.log(0.3), 0.01)
    expect(surprisal(0.61)).to.be.greaterThan(surprisal(0.6) + 1)
  })

  it('makes do with one point', () => {
    const surprisal = calibrate(Float64Array.of(0.5), prior)
    expect([surprisal(0.4), surprisal(0.5)]).to.deep.equal([0, 0])
    expect(surprisal(0.6)).to.be.closeTo(0.1 / (0.2 / 11), 1e-12)
  })
})
