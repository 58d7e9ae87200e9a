import { expect } from 'chai'
import { type ByteShare, createByteBudget } from './byte-budget.ts'

describe('A budget of bytes', () => {
  it('takes the share of the largest away when there are too many bytes, and leaves the small ones', () => {
    const budget = createByteBudget(100)
    const refused: string[] = []
    const [large, small, next] = ['large', 'small', 'next'].map((name) => budget.open(() => refused.push(name)))
    large!.take(70)
    small!.take(5)
    next!.take(20)
    expect([budget.taken, refused]).to.deep.equal([95, []])
    small!.take(10)
    expect([budget.taken, refused]).to.deep.equal([35, ['large']])
    large!.take(50)
    expect(budget.taken, 'it has no share any more').to.equal(35)
  })

  it('refuses a body that is too large for it alone', () => {
    const budget = createByteBudget(100)
    let isRefused = false
    budget.open(() => (isRefused = true)).take(101)
    expect([budget.taken, isRefused]).to.deep.equal([0, true])
  })

  it('leaves those that are kept, and refuses who comes, be it the smallest', () => {
    const budget = createByteBudget(100)
    const refused: string[] = []
    const [large, small] = ['large', 'small'].map((name) => budget.open(() => refused.push(name)))
    large!.take(95)
    large!.keep()
    expect(small!.take(10)).to.equal(false)
    expect([budget.taken, refused]).to.deep.equal([95, ['small']])
    large!.free()
    expect(budget.taken).to.equal(0)
  })

  it('never holds more than it may, whoever comes and goes', () => {
    const budget = createByteBudget(1000)
    const shares: ByteShare[] = []
    for (let i = 0; i < 5000; i++) {
      if (i % 3 === 0) shares.push(budget.open(() => {}))
      shares[(i * 7919) % Math.max(1, shares.length)]?.take((i * 31) % 200)
      if (i % 5 === 0) shares.splice((i * 104_729) % Math.max(1, shares.length), 1)[0]?.free()
      expect(budget.taken).to.be.within(0, 1000)
    }
    for (const share of shares) share.free()
    expect(budget.taken).to.equal(0)
  })
})
