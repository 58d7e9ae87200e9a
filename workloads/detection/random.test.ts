import { expect } from 'chai'
import { random } from './random.ts'

describe('random()', () => {
  it('gives the same numbers for the same seed and others for another', () => {
    const numbers = (seed: number | string) => {
      const chance = random(seed)
      return Array.from({ length: 5 }, () => chance.next())
    }
    expect(numbers(1)).to.deep.equal(numbers(1))
    expect(numbers(1)).to.not.deep.equal(numbers(2))
    expect(numbers('a')).to.not.deep.equal(numbers('b'))
  })

  it('goes on from a saved state', () => {
    const chance = random(7)
    for (let i = 0; i < 100; i++) chance.next()
    const resumed = random(chance.state())
    for (let i = 0; i < 10; i++) expect(resumed.next()).to.equal(chance.next())
  })

  it('is uniform', () => {
    const chance = random(3)
    const counts = new Array(10).fill(0)
    for (let i = 0; i < 100_000; i++) counts[chance.int(10)]++
    // chi-square with 9 degrees of freedom: 27.9 is its 99.9 % point
    const chiSquare = counts.reduce((sum, n) => sum + (n - 10_000) ** 2 / 10_000, 0)
    expect(chiSquare).to.be.lessThan(27.9)
  })
})
