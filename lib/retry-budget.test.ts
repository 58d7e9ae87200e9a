import { expect } from 'chai'
import { RetryBudget } from './retry-budget.ts'

describe('RetryBudget', () => {
  it('lets so many retries be made, then as many as successes pay for', () => {
    const budget = new RetryBudget({ capacity: 2, refill: 0.5 })
    expect([budget.spend(), budget.spend(), budget.spend()]).to.deep.equal([true, true, false])
    budget.succeeded()
    expect(budget.spend()).to.equal(false)
    budget.succeeded()
    expect([budget.spend(), budget.spend()]).to.deep.equal([true, false])
  })

  it('saves up no more than its capacity', () => {
    const budget = new RetryBudget({ capacity: 1, refill: 1 })
    for (let i = 0; i < 5; i++) budget.succeeded()
    expect([budget.spend(), budget.spend()]).to.deep.equal([true, false])
  })
})
