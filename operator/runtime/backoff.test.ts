import { expect } from 'chai'
import { backoff } from './backoff.ts'

describe('backoff', () => {
  const limits = { baseMs: 100, maxMs: 1_000 }

  it('doubles up to its maximum', () => {
    const waits = [1, 2, 3, 4, 5, 100].map((failures) => backoff(failures, { ...limits, random: () => 0 }))
    expect(waits).to.deep.equal([100, 200, 400, 800, 1_000, 1_000])
  })

  it('takes off up to a half at random', () => {
    expect(backoff(2, { ...limits, random: () => 0.5 })).to.equal(150)
    expect(backoff(2, { ...limits, random: () => 0.999 })).to.be.closeTo(100, 1)
  })
})
