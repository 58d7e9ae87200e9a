import { expect } from 'chai'
import { LastAlerts, quietEvents } from './last-alerts.ts'

describe('LastAlerts', () => {
  it('go on for a time after an alert, or for a number of events of the key', () => {
    const byTime = new LastAlerts({ refractoryMs: 1000, refractoryEvents: 0 })
    const byEvents = new LastAlerts({ refractoryMs: 0, refractoryEvents: 2 })
    for (const alerts of [byTime, byEvents]) {
      alerts.reset(0)
      expect(alerts.goesOn(0, 5000)).to.equal(false)
      alerts.learn(0, 5000, 7, true, true)
      expect(alerts.lastAlert(0)).to.equal(7)
      expect(alerts.events(0)).to.equal(1)
      expect(alerts.goesOn(0, 5500)).to.equal(true)
    }
    expect(byTime.goesOn(0, 6000)).to.equal(false)
    byEvents.learn(0, 9000, 0, false, false)
    expect(byEvents.goesOn(0, 9000)).to.equal(true)
    byEvents.learn(0, 9001, 0, false, false)
    expect(byEvents.goesOn(0, 9001)).to.equal(false)
  })

  it('end before, once the key was quiet for some events in a row', () => {
    const alerts = new LastAlerts({ refractoryMs: 0, refractoryEvents: 100 })
    alerts.reset(0)
    alerts.learn(0, 1, 7, true, true)
    const learn = (events: number, isHigh: boolean) => {
      for (let n = 0; n < events; n++) alerts.learn(0, 2, 5, isHigh, false)
    }
    learn(quietEvents - 1, false)
    learn(1, true)
    learn(quietEvents - 1, false)
    expect(alerts.goesOn(0, 2)).to.equal(true)
    learn(1, false)
    expect(alerts.goesOn(0, 2)).to.equal(false)
  })

  it('are read back from what was written before quiet events counted', () => {
    const [former, now] = [0, 100].map((events) => new LastAlerts({ refractoryMs: 0, refractoryEvents: events }))
    former!.reset(0)
    former!.learn(0, 1, 7, true, true)
    const memory = new DataView(new ArrayBuffer(former!.bytesPerKey))
    former!.save(0, memory, 0)
    now!.load(2, memory, 0, former!.bytesPerKey)
    expect(now!.lastAlert(2)).to.equal(7)
    expect(now!.goesOn(2, 1)).to.equal(true)
  })

  it('are kept a key, and read back elsewhere as they were written', () => {
    const [one, other] = [0, 0].map(() => new LastAlerts({ refractoryMs: 1000, refractoryEvents: 0 }))
    for (const slot of [0, 1]) one!.reset(slot)
    one!.learn(1, 1_700_000_000_123, 6.5, true, true)
    expect(one!.goesOn(0, 1_700_000_000_123)).to.equal(false)
    const memory = new DataView(new ArrayBuffer(one!.bytesPerKey))
    one!.save(1, memory, 0)
    other!.load(7, memory, 0, one!.bytesPerKey)
    expect([1122, 1123].map((more) => other!.goesOn(7, 1_700_000_000_000 + more))).to.deep.equal([true, false])
    expect(() => other!.load(7, memory, 0, 8)).to.throw(RangeError)
  })
})
