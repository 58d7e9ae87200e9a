import { expect } from 'chai'
import { meanOverSeeds, meanOverSets, measurementText } from './measurement.ts'

describe('measurementText', () => {
  it('is one line with the baseline beside each figure', () => {
    const text = measurementText({
      collection: 'http',
      scope: 'three seeds',
      figures: [
        { name: 'ROC AUC', pipeline: 0.99761, baseline: 0.9, deviation: 0.0007 },
        { name: 'standard', pipeline: 70.24, digits: 1 },
      ],
    })
    expect(text).to.equal('http          ROC AUC 0.998 ±0.001 (0.900)  standard 70.2  [three seeds]')
  })
})

const runs = [[{ name: 'AP', pipeline: 0.2, baseline: 0.1 }], [{ name: 'AP', pipeline: 0.4, baseline: 0.3 }]]

describe('meanOverSets', () => {
  it('averages figures of equal name', () => {
    const [figure] = meanOverSets(runs)
    expect(figure!.name).to.equal('AP')
    expect(figure!.pipeline).to.be.closeTo(0.3, 1e-12)
    expect(figure!.baseline).to.be.closeTo(0.2, 1e-12)
  })

  it('has no baseline where there is none', () => {
    expect(meanOverSets([[{ name: 'AP', pipeline: 0.2 }]])).to.deep.equal([{ name: 'AP', pipeline: 0.2 }])
  })
})

describe('meanOverSeeds', () => {
  it('says how far seeds lie apart', () => {
    const [figure] = meanOverSeeds(runs)
    expect(figure!.pipeline).to.be.closeTo(0.3, 1e-12)
    expect(figure!.deviation).to.be.closeTo(Math.SQRT2 / 10, 1e-12)
  })

  it('cannot say so of one', () => {
    expect(meanOverSeeds(runs.slice(0, 1))[0]).not.to.have.property('deviation')
  })
})
