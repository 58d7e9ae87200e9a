import { expect } from 'chai'
import { type AnomalyWindow, nabScore, probationaryRows, rawScore } from './nab.ts'

const standard = { tpWeight: 1, fpWeight: 0.11, fnWeight: 1 }
const lowFalsePositives = { tpWeight: 1, fpWeight: 0.22, fnWeight: 1 }
const lowFalseNegatives = { tpWeight: 1, fpWeight: 0.11, fnWeight: 2 }

/** 100 rows; the first 15 are probationary. */
function series(windows: readonly AnomalyWindow[], alertRows: readonly number[]) {
  const alerts = new Uint8Array(100)
  for (const row of alertRows) alerts[row] = 1
  return { windows, alerts }
}

const window = { first: 40, last: 49 }
const sigmoid = (x: number) => 2 / (1 + Math.exp(-x)) - 1

describe('rawScore', () => {
  it('gives the first row of a window all of its weight', () => {
    expect(rawScore(series([window], [40]), standard)).to.equal(1)
  })

  it('gives later rows less: half-way .86 of it, the last row .25', () => {
    // Row 45 is 5 of 10 rows before the end: sigmoid(2.5) / sigmoid(5); row 49 is 1 of 10: sigmoid(.5) / sigmoid(5).
    expect(rawScore(series([window], [45]), standard)).to.be.closeTo(0.848284 / 0.986614, 1e-6)
    expect(rawScore(series([window], [49]), standard)).to.be.closeTo(0.244919 / 0.986614, 1e-6)
  })

  it('counts only the earliest alert in a window', () => {
    expect(rawScore(series([window], [45, 46, 47, 49]), standard)).to.equal(rawScore(series([window], [45]), standard))
  })

  it('counts a window without an alert as missed', () => {
    expect(rawScore(series([window], []), standard)).to.equal(-1)
    expect(rawScore(series([window], []), lowFalseNegatives)).to.equal(-2)
  })

  it('counts an alert before any window in full', () => {
    expect(rawScore(series([window], [20, 40]), standard)).to.be.closeTo(1 - 0.11, 1e-12)
    expect(rawScore(series([window], [20, 21, 40]), lowFalsePositives)).to.be.closeTo(1 - 0.44, 1e-12)
    expect(rawScore(series([], [20]), standard)).to.equal(-0.11)
  })

  it('counts an alert after a window by its distance, in window widths less one', () => {
    expect(rawScore(series([window], [40, 50]), standard)).to.be.closeTo(1 - 0.11 * sigmoid(5 / 9), 1e-12)
    expect(rawScore(series([window], [40, 58]), standard)).to.be.closeTo(1 - 0.11 * 0.986614, 1e-6)
    // 27 rows are three widths: as bad as before any window. One row less is not quite.
    expect(rawScore(series([window], [40, 76]), standard)).to.equal(1 - 0.11)
    expect(rawScore(series([window], [40, 75]), standard)).to.be.above(1 - 0.11)
  })

  it('measures the distance from the window that came last', () => {
    const later = { first: 60, last: 79 }
    const raw = rawScore(series([window, later], [40, 55, 60, 81]), standard)
    expect(raw).to.be.closeTo(2 - 0.11 * (sigmoid((5 * 6) / 9) + sigmoid((5 * 2) / 19)), 1e-12)
  })

  it('ignores the probationary rows, also those of a window', () => {
    expect(rawScore(series([], [0, 14]), standard)).to.equal(0)
    expect(rawScore(series([{ first: 10, last: 19 }], [10]), standard)).to.equal(-1)
    expect(rawScore(series([{ first: 10, last: 19 }], [10, 15]), standard)).to.be.closeTo(0.848284 / 0.986614, 1e-6)
    expect(rawScore(series([{ first: 2, last: 9 }], []), standard)).to.equal(0)
  })
})

describe('nabScore', () => {
  const collection = (...alertRows: readonly (readonly number[])[]) => [
    series([window], alertRows[0]!),
    series([window, { first: 70, last: 89 }], alertRows[1]!),
  ]

  it('is 0 without alerts and 100 for perfect ones', () => {
    for (const costs of [standard, lowFalsePositives, lowFalseNegatives]) {
      expect(nabScore(collection([], []), costs)).to.equal(0)
      expect(nabScore(collection([40], [40, 70]), costs)).to.equal(100)
    }
  })

  it('lies between for some found, some missed, some wrong', () => {
    // Found at once, one false alert before it; one of two missed. Silent scores -3, perfect 3.
    const raw = 1 - 0.11 + 1 - 1
    expect(nabScore(collection([30, 40], [70]), standard)).to.be.closeTo((100 * (raw + 3)) / 6, 1e-9)
    // Misses cost 2: silent scores -6.
    expect(nabScore(collection([30, 40], [70]), lowFalseNegatives)).to.be.closeTo((100 * (raw - 1 + 6)) / 9, 1e-9)
  })

  it('is below 0 for alerts on everything normal', () => {
    const everyNormalRow = Array.from({ length: 100 }, (_, row) => row).filter((row) => row < 40 || row > 89)
    expect(nabScore(collection(everyNormalRow, everyNormalRow), standard)).to.be.below(0)
  })
})

describe('probationaryRows', () => {
  it('is 15 % of the series, at most 750', () => {
    expect([100, 4031, 5000, 22_000].map(probationaryRows)).to.deep.equal([15, 604, 750, 750])
  })
})
