import { expect } from 'chai'
import { type PaymentTraffic, paymentTraffic } from './payment-traffic.ts'

describe('paymentTraffic()', () => {
  const start = Date.UTC(2025, 0, 1)

  /** Portions as they come when each leaves `lateMs` after the one before, and the rate is kept otherwise. */
  function portionsOf(options: Partial<PaymentTraffic>, lateMs = 0) {
    let now = start
    const traffic = paymentTraffic({ seed: 1, run: 'one', portion: 10, now: () => now, ...options })
    const portions = []
    for (const portion of traffic) {
      now = Math.max(now + lateMs, portion[0]!.timestamp)
      portions.push(portion)
      if (portions.length === 1000) break
    }
    return portions
  }

  it('makes as many payments as it is asked for, with ids of the run', () => {
    const portions = portionsOf({ events: 25 })
    expect(portions.map((portion) => portion.length)).to.deep.equal([10, 10, 5])
    const ids = portions.flat().map(({ eventId }) => eventId)
    expect(ids).to.deep.equal(Array.from({ length: 25 }, (_, i) => `payment-one-${i + 1}`))
  })

  it('gives each the time when it is due, and without a rate the present one', () => {
    const times = (options: Partial<PaymentTraffic>, lateMs: number) =>
      portionsOf({ events: 4, portion: 2, ...options }, lateMs)
        .flat()
        .map(({ timestamp }) => timestamp - start)
    expect(times({ rate: 100 }, 0)).to.deep.equal([0, 10, 20, 30])
    expect(times({}, 7)).to.deep.equal([0, 0, 7, 7])
  })

  it('ends after so many seconds, at the rate or behind it', () => {
    const made = (lateMs: number) => portionsOf({ rate: 100, seconds: 2 }, lateMs).flat().length
    expect(made(0)).to.equal(200)
    expect(made(500)).to.equal(40)
  })

  it('never ends by itself if it is not asked to', () => {
    expect(portionsOf({ rate: 100 })).to.have.lengthOf(1000)
  })

  it('gives the same payments for the same seed, but for ids and times', () => {
    const payments = (options: Partial<PaymentTraffic>) =>
      portionsOf({ events: 100, ...options })
        .flat()
        .map(({ userId, value, features }) => ({ userId, value, features }))
    expect(payments({ run: 'two', rate: 50 })).to.deep.equal(payments({}))
    expect(payments({ seed: 2 })).to.not.deep.equal(payments({}))
  })
})
