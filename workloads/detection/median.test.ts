import { expect } from 'chai'
import { median } from './median.ts'
import { random } from './random.ts'

describe('median()', () => {
  it('is the middle number, or the mean of the two in the middle', () => {
    expect(median(Float64Array.of(3))).to.equal(3)
    expect(median(Float64Array.of(4, 1))).to.equal(2.5)
    expect(median(Float64Array.of(9, 1, 5))).to.equal(5)
    expect(median(Float64Array.of(9, -1, 5, Number.NEGATIVE_INFINITY))).to.equal(2)
    expect(median(new Float64Array(0))).to.be.NaN
  })

  it('is what sorting finds, to the sign of zero, with many equal numbers, sorted ones and both ends of the range', () => {
    const chance = random('median')
    for (let round = 0; round < 300; round++) {
      const kinds = 1 + chance.int(20)
      const numbers = Float64Array.from(
        { length: 1 + chance.int(100) },
        () => (chance.int(kinds) - 5) * (chance.int(2) - 0.5),
      )
      if (round % 5 === 0) numbers.sort()
      if (round % 7 === 0) numbers[0] = Number.POSITIVE_INFINITY
      const sorted = numbers.toSorted()
      const n = sorted.length
      const expected = (sorted[(n - 1) >> 1]! + sorted[n >> 1]!) / 2
      expect(Object.is(median(numbers), expected), `the median of ${sorted}`).to.equal(true)
    }
  })
})
