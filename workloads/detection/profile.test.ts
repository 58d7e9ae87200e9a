import { expect } from 'chai'
import type { Event } from './event.ts'
import { Evidence, firstFeature, intervalField, missingField, valueField } from './evidence.ts'
import { Profile } from './profile.ts'
import { random } from './random.ts'

const chance = () => random('profile tests')
/** About normal: the sum of twelve uniform numbers. */
function normal(next: () => number): number {
  let sum = -6
  for (let i = 0; i < 12; i++) sum += next()
  return sum
}

function event(fields: Partial<Event>): Event {
  return { id: 'e', key: 'k', time: Number.NaN, value: Number.NaN, features: [], ...fields }
}

interface Observed {
  readonly surprisal: number
  readonly leading: number
}

/** A profile of `keys` keys, each with its own location, after `events` events a key. */
function trained(
  keys: number,
  events: number,
  features = 0,
): { profile: Profile; see: (slot: number, fields: Partial<Event>) => Observed; next: () => number } {
  const { next } = chance()
  const profile = new Profile({ name: 'profile', halfLifeEvents: 500 })
  const evidence = new Evidence()
  const see = (slot: number, fields: Partial<Event>): Observed => {
    evidence.clear()
    const surprisal = profile.observe(slot, event(fields), evidence)
    return { surprisal, leading: evidence.count === 0 ? -1 : evidence.field[0]! }
  }
  for (let slot = 0; slot < keys; slot++) profile.reset(slot)
  for (let i = 0; i < events; i++)
    for (let slot = 0; slot < keys; slot++) {
      const value = 10 * (slot + 1) + normal(next)
      see(slot, {
        value,
        time: 60_000 * (i + 1) + 1000 * normal(next),
        features: Array.from({ length: features }, () => normal(next)),
      })
    }
  return { profile, see, next }
}

describe('Profile', () => {
  it('is surprised by what is ordinary for one key and strange for another', () => {
    const { see } = trained(10, 200)
    expect(see(0, { value: 10.2 }).surprisal).to.be.lessThan(3)
    expect(see(5, { value: 60.2 }).surprisal).to.be.lessThan(3)
    expect(see(0, { value: 60 }).surprisal).to.be.greaterThan(6)
  })

  it('names the field that deviates', () => {
    const { see } = trained(10, 200, 3)
    expect(see(3, { value: 100, features: [0, 0, 0], time: 201 * 60_000 }).leading).to.equal(valueField)
    expect(see(4, { value: 50, features: [0, 9, 0], time: 201 * 60_000 }).leading).to.equal(firstFeature + 1)
    expect(see(5, { value: 60, features: [0.1, 0.2, 0], time: 200 * 60_000 + 4_000 }).leading).to.equal(intervalField)
  })

  it('notices that features are missing which the key usually has', () => {
    const { see } = trained(10, 200, 4)
    const { surprisal, leading } = see(2, {
      value: 30,
      features: [0, Number.NaN, Number.NaN, Number.NaN],
      time: 201 * 60_000,
    })
    expect(leading).to.equal(missingField)
    expect(surprisal).to.be.greaterThan(5)
  })

  it('is calm about a burst of silence, not about a burst of events', () => {
    const { see } = trained(10, 200)
    expect(see(0, { value: 10, time: 10_000 * 60_000 }).surprisal).to.be.lessThan(3)
    expect(see(1, { value: 20, time: 200 * 60_000 + 4_000 }).surprisal).to.be.greaterThan(5)
  })

  it('calibrates: of normal events about one in a hundred has a surprisal above ln 100', () => {
    const { see, next } = trained(20, 1000, 4)
    let above = 0
    const count = 20_000
    for (let i = 0; i < count; i++) {
      const slot = i % 20
      const features = Array.from({ length: 4 }, () => normal(next))
      if (
        see(slot, {
          value: 10 * (slot + 1) + normal(next),
          features,
          time: 60_000 * (1001 + Math.floor(i / 20)) + 1000 * normal(next),
        }).surprisal >= Math.log(100)
      )
        above++
    }
    expect(above / count).to.be.within(0.006, 0.016)
  })

  it('learns an anomaly only to its edge: the second one surprises like the first', () => {
    const { see } = trained(10, 200)
    const first = see(0, { value: 100 }).surprisal
    const second = see(0, { value: 100 }).surprisal
    expect(second).to.be.greaterThan(0.7 * first)
    expect(see(0, { value: 10 }).surprisal).to.be.lessThan(3)
  })

  it('accepts a shift that lasts: after some dozens of events the new level is normal', () => {
    const { see, next } = trained(10, 200)
    let last = 0
    for (let i = 0; i < 100; i++) last = see(0, { value: 100 + normal(next) }).surprisal
    expect(last).to.be.lessThan(4)
  })

  it('lets a field that is rarely other than 0 stay variable', () => {
    const { see, next } = trained(10, 200, 1)
    for (let i = 0; i < 2000; i++)
      for (let slot = 0; slot < 10; slot++)
        see(slot, { value: 10 * (slot + 1) + normal(next), features: [slot === 0 && next() < 0.1 ? 1 : 0] })
    const traveller = see(0, { value: 10, features: [1] }).surprisal
    const homebody = see(1, { value: 20, features: [1] }).surprisal
    expect(homebody).to.be.greaterThan(traveller)
  })

  it('takes equal and backward times for no time passed', () => {
    const { see } = trained(2, 50)
    for (const time of [3_000_000, 3_000_000, 1000, 0, 3_000_001])
      expect(see(0, { value: 10, time }).surprisal).to.be.within(0, 1e6)
  })

  it('divides by no zero: constants, absent fields and one event only', () => {
    const profile = new Profile({ name: 'profile', halfLifeEvents: 10 })
    const evidence = new Evidence()
    profile.reset(0)
    for (let i = 0; i < 300; i++)
      expect(profile.observe(0, event({ value: 5, features: [0, 1e300] }), evidence)).to.be.within(0, 1e6)
    expect(profile.observe(0, event({}), evidence)).to.be.within(3, 1e6)
    const jump = profile.observe(0, event({ value: 6, features: [0, 1e300] }), evidence)
    expect(jump).to.be.greaterThan(3).and.to.satisfy(Number.isFinite)
  })

  it('keeps numbers with a large offset apart', () => {
    const { next } = chance()
    const profile = new Profile({ name: 'profile', halfLifeEvents: 500 })
    const evidence = new Evidence()
    profile.reset(0)
    for (let i = 0; i < 500; i++) profile.observe(0, event({ value: 1.7e12 + normal(next) }), evidence)
    expect(profile.observe(0, event({ value: 1.7e12 + 0.5 }), evidence)).to.be.lessThan(3)
    expect(profile.observe(0, event({ value: 1.7e12 + 30 }), evidence)).to.be.greaterThan(4)
  })

  it('goes on in another slot from what was saved', () => {
    const { profile, see } = trained(10, 200, 2)
    const saved = new DataView(new ArrayBuffer(profile.bytesPerKey))
    profile.save(3, saved, 0)
    profile.reset(12)
    profile.load(12, saved, 0)
    const again = new DataView(new ArrayBuffer(profile.bytesPerKey))
    profile.save(12, again, 0)
    expect(new Uint8Array(again.buffer)).to.deep.equal(new Uint8Array(saved.buffer))
    expect(see(12, { value: 400, features: [0, 0], time: 201 * 60_000 }).leading).to.equal(valueField)
  })

  it('learns features that appear later without forgetting the others', () => {
    const { see, next } = trained(10, 200, 1)
    for (let i = 0; i < 50; i++)
      for (let slot = 0; slot < 10; slot++)
        see(slot, { value: 10 * (slot + 1) + normal(next), features: [normal(next), 1000 + normal(next)] })
    expect(see(0, { value: 10, features: [0, 1000] }).surprisal).to.be.lessThan(3)
    expect(see(0, { value: 10, features: [0, 1100] }).leading).to.equal(firstFeature + 1)
  })
})
