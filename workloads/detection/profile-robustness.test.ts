import { expect } from 'chai'
import type { Event } from './event.ts'
import { Evidence, intervalField, missingField, valueField } from './evidence.ts'
import { Profile } from './profile.ts'
import { type Random, random } from './random.ts'

/** About normal: the sum of twelve uniform numbers. */
function normal(chance: Random): number {
  let sum = -6
  for (let i = 0; i < 12; i++) sum += chance.next()
  return sum
}

function profileOf(keys: number) {
  const profile = new Profile({ name: 'profile', halfLifeEvents: 500 })
  const evidence = new Evidence()
  for (let slot = 0; slot < keys; slot++) profile.reset(slot)
  return {
    profile,
    see(slot: number, fields: Partial<Event>) {
      evidence.clear()
      const event: Event = { id: 'e', key: `k${slot}`, time: Number.NaN, value: Number.NaN, features: [], ...fields }
      const surprisal = profile.observe(slot, event, evidence)
      const reasons = Array.from({ length: evidence.count }, (_, i) => ({
        field: evidence.field[i]!,
        observed: evidence.observed[i]!,
        expected: evidence.expected[i]!,
      }))
      return { surprisal, reasons }
    },
  }
}

const wild = [2_147_483_647, -9999, 1e39, 1e155, -1e300, Number.MAX_VALUE, Number.MIN_VALUE, 0]

describe('Profile, whatever comes', () => {
  it('is not blinded by one reading, whatever it is, whoever sends it and whenever', () => {
    const chance = random('one reading')
    for (const reading of wild)
      for (const place of [0, 1, 2, 3, 7, 20, 55, 99, 400]) {
        const { see } = profileOf(10)
        for (let i = 0; i < 1000; i++)
          see(i % 10, { value: i === place ? reading : 100 + 5 * normal(chance), features: [100 + 5 * normal(chance)] })
        for (let i = 0; i < 25; i++) {
          const slot = (place + 1 + (i % 9)) % 10
          const { surprisal, reasons } = see(slot, { value: 1000, features: [100] })
          expect(surprisal, `${reading} at ${place}, anomaly ${i}`).to.be.greaterThan(4)
          expect(reasons[0]!.expected).to.be.within(90, 110)
          for (let j = 0; j < 10; j++) see(j, { value: 100 + 5 * normal(chance), features: [100 + 5 * normal(chance)] })
        }
      }
  })

  it('is not blinded for the key that sent it either, not even by its first value', () => {
    const chance = random('own reading')
    for (const reading of wild)
      for (const place of [0, 1, 2, 5, 30]) {
        const { see } = profileOf(11)
        const ordinary = () => ({ value: 100 + 5 * normal(chance), features: [3 * normal(chance)] })
        for (let i = 0; i < 500; i++) see(i % 10, ordinary())
        for (let i = 0; i < 40; i++) see(10, i === place ? { value: reading, features: [reading] } : ordinary())
        let found = 0
        for (let i = 0; i < 14; i++) {
          if (see(10, { value: 1000, features: [0] }).surprisal > 4) found++
          for (let j = 0; j < 5; j++) expect(see(10, ordinary()).surprisal, `${reading} at ${place}`).to.be.lessThan(6)
        }
        expect(found, `${reading} at ${place}`).to.equal(14)
      }
  })

  it('learns a level that changes for good within 25 events', () => {
    const chance = random('levels')
    for (const keys of [1, 30, 1000])
      for (const factor of [0.5, 0.7, 1.5, 2, 5, 10]) {
        const { see } = profileOf(keys)
        const value = (level: number) => level * (1 + 0.05 * normal(chance))
        for (let i = 0; i < 100; i++) for (let slot = 0; slot < keys; slot++) see(slot, { value: value(100) })
        for (let i = 0; i < 25; i++) see(0, { value: value(100 * factor) })
        const { surprisal, reasons } = see(0, { value: 300 * factor })
        expect(surprisal, `${keys} keys, ${factor}`).to.be.greaterThan(5)
        expect(reasons[0]!.expected, `${keys} keys, ${factor}`).to.be.within(90 * factor, 110 * factor)
        let ordinary = 0
        for (let i = 0; i < 20; i++) ordinary += see(0, { value: value(100 * factor) }).surprisal
        expect(ordinary / 20, `${keys} keys, ${factor}`).to.be.lessThan(3)
      }
  })

  it('learns a spread that changes for good', () => {
    const chance = random('spreads')
    for (const factor of [0.2, 5, 10]) {
      const { see } = profileOf(1)
      for (let i = 0; i < 500; i++) see(0, { value: 100 + normal(chance) })
      for (let i = 0; i < 300; i++) see(0, { value: 100 + factor * normal(chance) })
      let ordinary = 0
      for (let i = 0; i < 50; i++) ordinary += see(0, { value: 100 + factor * normal(chance) }).surprisal
      expect(ordinary / 50, `${factor}`).to.be.lessThan(3)
    }
  })

  it('does not take an anomaly for the new level, even where a new level begins with it', () => {
    const { see } = profileOf(1)
    const chance = random('doubt')
    for (let i = 0; i < 300; i++) see(0, { value: 100 + normal(chance) })
    for (let i = 0; i < 30; i++) see(0, { value: i === 19 ? 2_147_483_647 : 200 + normal(chance) })
    const { reasons } = see(0, { value: 300 })
    expect(reasons[0]!.expected).to.be.within(190, 210)
  })

  it('is surprised once by one blip in a constant', () => {
    for (const constant of [0, 5, -1e-18, 1e298])
      for (const size of [1, 1e-6, 1e9]) {
        const { see } = profileOf(1)
        const blip = constant === 0 ? size : constant * (1 + size)
        const surprised: number[] = []
        for (let i = 0; i < 600; i++)
          if (see(0, { value: i === 400 ? blip : constant }).surprisal > 3) surprised.push(i)
        expect(surprised, `${constant}, ${size}`).to.deep.equal([400])
      }
  })

  it('says nothing against what equals its expectation, at whatever level a key is constant', () => {
    const levels = Array.from({ length: 200 }, (_, slot) => (slot - 20) ** 3)
    const { see } = profileOf(levels.length)
    for (let i = 0; i < 20; i++)
      levels.forEach((value, slot) => {
        const { surprisal, reasons } = see(slot, { value, features: [slot] })
        if (i < 2) return
        expect(surprisal, `event ${i} of level ${value}`).to.equal(0)
        expect(reasons).to.deep.equal([])
      })
    const { surprisal, reasons } = see(100, { value: levels[100]! + 1, features: [100] })
    expect(surprisal).to.be.greaterThan(4)
    expect(reasons[0]).to.deep.equal({ field: valueField, observed: levels[100]! + 1, expected: levels[100] })
  })

  it('does not change when everything is measured in another unit', () => {
    const run = (exponent: number) => {
      const chance = random('units')
      const { see } = profileOf(5)
      return Array.from({ length: 600 }, (_, i) => {
        const value = i % 50 === 49 ? 3000 : 100 * ((i % 5) + 1) + normal(chance)
        const feature = chance.next() < 0.2 ? 0 : 1e-3 * normal(chance)
        const unit = 2 ** exponent
        return see(i % 5, { value: value * unit, features: [feature * unit], time: 60_000 * i }).surprisal
      })
    }
    const scores = run(0)
    expect(Math.max(...scores)).to.be.greaterThan(5)
    for (const exponent of [-900, -70, -60, 1, 10, 130, 500, 980])
      expect(run(exponent), `2^${exponent}`).to.deep.equal(scores)
  })

  it('expects values of any magnitude where they are', () => {
    for (const unit of [1e-300, 1e-18, 1, 1e39, 1e155, 1e298]) {
      const chance = random('magnitude')
      const { see } = profileOf(3)
      for (let i = 0; i < 300; i++) see(i % 3, { value: unit * (10 + normal(chance)) })
      const { surprisal, reasons } = see(1, { value: 100 * unit })
      expect(surprisal, `${unit}`).to.be.greaterThan(6)
      expect(reasons[0]!.expected / unit, `${unit}`).to.be.within(9, 11)
    }
  })

  it('says nothing of the interval where time stands still or goes back, and counts it', () => {
    const { profile, see } = profileOf(1)
    let time = 1_700_000_000_000
    const at = (when: number) => see(0, { value: 5, time: when })
    const next = (i: number) => {
      time += 60_000 + (i % 7) * 100
      return at(time)
    }
    for (let i = 0; i < 300; i++) next(i)
    expect(profile.notLater).to.equal(0)
    // Late events, a day that is filled in afterwards, an hour that comes twice.
    for (let i = 0; i < 12; i++) {
      expect(at(time - 600_000 * i).reasons.map(({ field }) => field)).to.not.include(intervalField)
      expect(next(i).surprisal).to.be.lessThan(3)
    }
    expect(profile.notLater).to.equal(12)
    for (let i = 0; i < 1440; i++) expect(at(time - 86_400_000 + 60_000 * i).surprisal).to.be.lessThan(3)
    for (let i = 0; i < 60; i++) expect(next(i).surprisal).to.be.lessThan(3)
    expect(at(time + 2000).reasons[0]!.field).to.equal(intervalField)
  })

  it('goes on after an event ahead of its time', () => {
    const { see } = profileOf(1)
    let time = 1_700_000_000_000
    const next = (i: number) => {
      time += 60_000 + (i % 7) * 100
      return see(0, { time })
    }
    for (let i = 0; i < 300; i++) next(i)
    see(0, { time: time + 1e9 })
    for (let i = 0; i < 60; i++) expect(next(i).surprisal).to.be.lessThan(3)
    expect(see(0, { time: time + 2000 }).reasons[0]!.field).to.equal(intervalField)
  })

  it('misses a feature only where the key usually carries it', () => {
    const chance = random('missing')
    const { see } = profileOf(20)
    const none = Number.NaN
    for (let i = 0; i < 200; i++)
      for (let slot = 0; slot < 20; slot++)
        see(slot, { value: normal(chance), features: [normal(chance), slot < 10 ? normal(chance) : none] })
    // Two names are new to the stream; one key has them.
    see(3, { value: 0, features: [0, 0, 7, 8] })
    for (let i = 0; i < 20; i++)
      for (let slot = 0; slot < 20; slot++) {
        const features = [normal(chance), slot < 10 ? normal(chance) : none, none, none]
        const { reasons } = see(slot, { value: normal(chance), features })
        expect(reasons.map(({ field }) => field)).to.not.include(missingField)
      }
    const { surprisal, reasons } = see(3, { value: 0, features: [0, none, none, none] })
    expect(reasons[0]).to.deep.equal({ field: missingField, observed: 1, expected: 0 })
    expect(surprisal).to.be.greaterThan(4)
    expect(see(13, { value: 0, features: [0, none, none, none] }).surprisal).to.be.lessThan(3)
  })
})
