import { expect } from 'chai'
import { AlertBudget } from './alert-budget.ts'

describe('AlertBudget', () => {
  it('begins where the rate was seen to lie', () => {
    expect(new AlertBudget(1000).theta).to.equal(4.56)
    expect(new AlertBudget(5000).theta).to.equal(2.59)
    expect(new AlertBudget(1).theta).to.be.within(10, 40)
    expect(new AlertBudget(1_000_000).theta).to.equal(0.2)
  })

  it('holds the rate on a stream that it does not know, and again after the stream has changed', () => {
    const budget = new AlertBudget(2000)
    let state = 12345
    const exponential = (scale: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return -Math.log((state + 0.5) / 2 ** 32) * scale
    }
    for (const scale of [1, 2.5, 0.4]) {
      for (let i = 0; i < 20_000; i++) budget.learn(exponential(scale) >= budget.theta)
      let alerts = 0
      for (let i = 0; i < 100_000; i++) {
        const alerted = exponential(scale) >= budget.theta
        budget.learn(alerted)
        if (alerted) alerts++
      }
      expect(alerts).to.be.within(160, 240)
    }
  })
})
