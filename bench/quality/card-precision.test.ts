import { expect } from 'chai'
import { cardPrecision } from './card-precision.ts'

/** Rows of day, card, score, fraud. */
function transactions(rows: readonly (readonly [number, number, number, number])[]) {
  return {
    day: Int32Array.from(rows, ([day]) => day),
    card: Int32Array.from(rows, ([, card]) => card),
    score: Float64Array.from(rows, ([, , score]) => score),
    fraud: Uint8Array.from(rows, ([, , , fraud]) => fraud),
  }
}

describe('cardPrecision', () => {
  it('ranks cards by their highest score of the day, whichever transaction was the fraud', () => {
    const rows = transactions([
      [0, 1, 0.9, 0],
      [0, 1, 0.1, 1],
      [0, 2, 0.8, 0],
      [0, 3, 0.7, 1],
    ])
    expect(cardPrecision(rows, { top: 1 })).to.equal(1)
    expect(cardPrecision(rows, { top: 2 })).to.equal(1 / 2)
    expect(cardPrecision(rows, { top: 3 })).to.equal(2 / 3)
  })

  it('is the mean over days', () => {
    const rows = transactions([
      [3, 1, 0.9, 1],
      [3, 2, 0.1, 0],
      [4, 1, 0.1, 0],
      [4, 2, 0.9, 0],
    ])
    expect(cardPrecision(rows, { top: 1 })).to.equal(1 / 2)
  })

  it('divides by the number of cards to look at even on a day with fewer', () => {
    expect(cardPrecision(transactions([[0, 1, 0.9, 1]]), { top: 100 })).to.equal(1 / 100)
  })

  it('can leave out the cards found on earlier days', () => {
    const rows = transactions([
      [0, 1, 0.9, 1],
      [1, 1, 0.9, 1],
      [1, 2, 0.5, 0],
      [2, 3, 0.5, 1],
    ])
    expect(cardPrecision(rows, { top: 1 })).to.equal(1)
    expect(cardPrecision(rows, { top: 1, removeDetected: true })).to.equal(2 / 3)
  })
})
