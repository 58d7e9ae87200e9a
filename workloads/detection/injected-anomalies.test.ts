import { expect } from 'chai'
import { anomalyKinds, injectedSeries, normalSeries, seriesNatures } from './injected-anomalies.ts'

describe('injectedSeries()', () => {
  it('changes the values of the anomaly and no others', () => {
    for (const nature of seriesNatures) {
      for (const kind of anomalyKinds) {
        const { values, first, last } = injectedSeries(nature, kind, 3)
        const normal = normalSeries(nature, values.length, 3)
        const changed = values.flatMap((value, i) => (value === normal[i] ? [] : [i]))
        expect(changed.length, `${kind} in ${nature}`).to.be.within(1, last - first + 1)
        expect(changed[0]).to.be.at.least(first)
        expect(changed.at(-1)).to.be.at.most(last)
        expect(values).to.have.length(first + 500)
      }
    }
  })

  it('gives the same series for the same seed, and another for another', () => {
    expect(injectedSeries('walk', 'spike', 1)).to.deep.equal(injectedSeries('walk', 'spike', 1))
    expect(injectedSeries('walk', 'spike', 1).values).to.not.deep.equal(injectedSeries('walk', 'spike', 2).values)
  })

  it('freezes at one value, keeps the values of what it reverses or shuffles', () => {
    const frozen = injectedSeries('season', 'frozen', 4)
    expect(new Set(frozen.values.slice(frozen.first, frozen.last + 1)).size).to.equal(1)
    for (const kind of ['reversed', 'shuffled'] as const) {
      const { values, first, last } = injectedSeries('season', kind, 4)
      const normal = normalSeries('season', values.length, 4).slice(first, last + 1)
      expect(values.slice(first, last + 1)).to.have.members(normal)
    }
  })
})
