import { expect } from 'chai'
import { averagePrecision, decisionQuality, precisionRecallCurve, rankScores, rocAuc } from './evaluation.ts'

function ranked(scores: readonly number[], labels: readonly number[]) {
  return rankScores(Float64Array.from(scores), Uint8Array.from(labels))
}

describe('rocAuc', () => {
  it('is the share of pairs in the right order', () => {
    // Of the pairs (.35, .1) (.35, .4) (.8, .1) (.8, .4) one is in the wrong order.
    expect(rocAuc(ranked([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]))).to.equal(0.75)
  })

  it('counts a tie half', () => {
    expect(rocAuc(ranked([5, 5, 5, 5], [0, 1, 0, 1]))).to.equal(0.5)
    expect(rocAuc(ranked([1, 2, 2, 3], [0, 0, 1, 0]))).to.equal(1.5 / 3)
  })

  it('is NaN where one class is absent', () => {
    expect(rocAuc(ranked([1, 2], [0, 0]))).to.be.NaN
    expect(rocAuc(ranked([1, 2], [1, 1]))).to.be.NaN
  })
})

describe('averagePrecision', () => {
  it('weights each precision by the recall it adds', () => {
    // .8 is right (1/1), then .4 is wrong, then .35 is right (2/3).
    expect(averagePrecision(ranked([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]))).to.be.closeTo((1 + 2 / 3) / 2, 1e-15)
  })

  it('lets rows of one score enter together, whatever their order', () => {
    const expected = (1 / 2) * (1 / 2) + (1 / 2) * (2 / 4)
    expect(averagePrecision(ranked([3, 3, 2, 2], [1, 0, 1, 0]))).to.equal(expected)
    expect(averagePrecision(ranked([3, 3, 2, 2], [0, 1, 0, 1]))).to.equal(expected)
  })

  it('is the base rate for a constant score, and NaN without anomalies', () => {
    expect(averagePrecision(ranked([1, 1, 1, 1], [0, 1, 0, 0]))).to.equal(0.25)
    expect(averagePrecision(ranked([1, 2], [0, 0]))).to.be.NaN
  })
})

describe('precisionRecallCurve', () => {
  it('has a point wherever recall rises', () => {
    expect(precisionRecallCurve(ranked([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]))).to.deep.equal([
      { threshold: 0.8, recall: 0.5, precision: 1 },
      { threshold: 0.35, recall: 1, precision: 2 / 3 },
    ])
  })

  it('is thinned to the limit and keeps both ends', () => {
    const rows = 10_000
    const scores = Float64Array.from({ length: rows }, (_, row) => row)
    const labels = Uint8Array.from({ length: rows }, (_, row) => (row % 3 === 0 ? 1 : 0))
    for (const limit of [2, 10, 500]) {
      const points = precisionRecallCurve(rankScores(scores, labels), limit)
      expect(points.length).to.be.within(limit - 1, limit)
      expect(points[0]!.threshold).to.equal(9999)
      expect(points.at(-1)).to.deep.equal({ threshold: 0, recall: 1, precision: 3334 / 10_000 })
    }
  })

  it('is empty without anomalies', () => {
    expect(precisionRecallCurve(ranked([1, 2], [0, 0]))).to.deep.equal([])
  })
})

describe('decisionQuality', () => {
  it('counts alerts, hits and misses', () => {
    expect(decisionQuality(Uint8Array.of(1, 1, 0, 0, 1), Uint8Array.of(1, 0, 0, 1, 1))).to.deep.equal({
      alerts: 3,
      hits: 2,
      precision: 2 / 3,
      recall: 2 / 3,
      alertsPerMillion: 600_000,
    })
  })

  it('has no precision without alerts and no recall without anomalies', () => {
    const { precision, recall } = decisionQuality(Uint8Array.of(0, 0), Uint8Array.of(0, 0))
    expect(precision).to.be.NaN
    expect(recall).to.be.NaN
  })
})

describe('rankScores', () => {
  it('refuses a NaN score and columns of different lengths', () => {
    expect(() => ranked([1, Number.NaN], [0, 1])).to.throw(RangeError, 'Cannot rank row 1: its score is NaN')
    expect(() => ranked([1], [0, 1])).to.throw(RangeError, 'Cannot compare 2 labels with 1 scores')
  })
})
