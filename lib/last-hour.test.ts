import { expect } from 'chai'
import { LastHour } from './last-hour.ts'

const minute = 60_000

describe('LastHour', () => {
  it('counts what happened in the last sixty minutes', () => {
    let now = 12.5 * minute
    const lately = new LastHour(['events', 'alerts'], () => now)
    lately.add('events', 10)
    lately.add('alerts', 1)
    now += 59 * minute
    lately.add('events', 5)
    expect(lately.totals).to.deep.equal({ events: 15, alerts: 1 })
    now += minute
    expect(lately.totals).to.deep.equal({ events: 5, alerts: 0 })
    now += 59 * minute
    expect(lately.totals).to.deep.equal({ events: 0, alerts: 0 })
  })

  it('agrees with a list of all that was counted, whenever it is asked', () => {
    let now = 0
    const lately = new LastHour(['x'], () => now)
    const all: { at: number; count: number }[] = []
    for (let i = 0; i < 500; i++) {
      now += ((i * 7919) % 13) * minute * (i % 50 === 0 ? 20 : 0.7)
      lately.add('x', i)
      all.push({ at: Math.floor(now / minute), count: i })
      const since = Math.floor(now / minute) - 60
      const expected = all.filter(({ at }) => at > since).reduce((sum, { count }) => sum + count, 0)
      expect(lately.totals.x).to.equal(expected)
    }
  })
})
