import { expect } from 'chai'
import { createAlertRate } from './alert-rate.ts'

const minute = 60_000

describe('AlertRate', () => {
  it('is of the events that were counted while it looked, not of those before', () => {
    const rate = createAlertRate()
    rate.count('a', { events: 1_000_000, alerts: 90_000 }, 0)
    expect(rate.perMillion(0)).to.equal(undefined)
    rate.count('a', { events: 1_002_000, alerts: 90_002 }, minute)
    expect(rate.perMillion(minute)).to.equal(1000)
  })

  it('forgets what is longer ago than an hour, and is none when an hour had few events', () => {
    const rate = createAlertRate()
    rate.count('a', { events: 0, alerts: 0 }, 0)
    rate.count('a', { events: 5000, alerts: 500 }, minute)
    rate.count('a', { events: 10_000, alerts: 505 }, 50 * minute)
    expect(rate.perMillion(50 * minute)).to.equal(50_500)
    expect(rate.perMillion(70 * minute)).to.equal(1000)
    expect(rate.perMillion(120 * minute)).to.equal(null)
  })

  it('adds up pods, and counts on where one was started again', () => {
    const rate = createAlertRate()
    for (const pod of ['a', 'b']) rate.count(pod, { events: 4000, alerts: 4 }, 0)
    rate.count('a', { events: 6000, alerts: 6 }, minute)
    rate.count('b', { events: 2000, alerts: 6 }, minute)
    expect(rate.perMillion(minute)).to.equal(2000)
  })
})
