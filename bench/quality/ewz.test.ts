import { expect } from 'chai'
import { ewz } from './ewz.ts'

describe('ewz', () => {
  it('is the distance from the mean in standard deviations, learnt afterwards', () => {
    const baseline = ewz()
    for (const value of [1, 3]) baseline.score('a', [value])
    // Mean 2, standard deviation 1.
    expect(baseline.score('a', [5])).to.be.closeTo(3, 1e-12)
    // 1, 3, 5: mean 3, variance 8/3.
    expect(baseline.score('a', [3 - Math.sqrt(8 / 3)])).to.be.closeTo(1, 1e-12)
  })

  it('forgets half within a half-life', () => {
    const baseline = ewz({ halfLifeEvents: 10 })
    for (let event = 0; event < 1000; event++) baseline.score('a', [event % 2])
    for (let event = 0; event < 10; event++) baseline.score('a', [10])
    // Half of the weight is on 0.5 ± 0.5, half on 10: mean 5.25, variance 0.5·0.25 + 0.25·9.5².
    expect(baseline.score('a', [5.25 + Math.sqrt(0.125 + 0.25 * 9.5 ** 2)])).to.be.closeTo(1, 0.02)
  })

  it('keeps keys apart', () => {
    const baseline = ewz()
    for (const value of [1, 3]) baseline.score('a', [value])
    expect(baseline.score('b', [5])).to.equal(0)
  })

  it('takes the mean over columns; one that never varied says nothing', () => {
    const baseline = ewz()
    for (const value of [1, 3]) baseline.score('', [value, 7])
    expect(baseline.score('', [5, 8])).to.be.closeTo(1.5, 1e-12)
  })

  it('passes over what is absent', () => {
    const baseline = ewz()
    for (const value of [1, 3]) baseline.score('', [value, value])
    expect(baseline.score('', [5, Number.NaN])).to.be.closeTo(3, 1e-12)
    expect(baseline.score('', [Number.NaN, 5])).to.be.closeTo(3, 1e-12)
    expect(baseline.score('', [Number.NaN, Number.NaN])).to.equal(0)
  })
})
