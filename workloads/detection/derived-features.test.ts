import { expect } from 'chai'
import { DerivedFeatures } from './derived-features.ts'
import type { Event } from './event.ts'
import { FeatureSchema } from './feature-schema.ts'

const start = Date.UTC(2024, 0, 1)
const hour = 3_600_000
const specs = [
  { name: 'count-1h', count: { window: '1h' } },
  { name: 'sum-1h', sum: { field: 'value', window: '1h' } },
  { name: 'since', sinceLast: {} },
  { name: 'ratio', ratio: { field: 'value' } },
  { name: 'change', change: { field: 'load' } },
]

function derivedOf(own = specs) {
  const schema = new FeatureSchema(['load', ...own.map(({ name }) => name)])
  const derived = new DerivedFeatures(own, schema)
  for (const slot of [0, 1]) derived.reset(slot)
  /** The derived features of the key's next event. */
  const next = (seconds: number, value: number, { slot = 0, load = 1 } = {}): number[] => {
    const event: Event = { id: 'e', key: `k${slot}`, time: start + seconds * 1000, value, features: [load] }
    return derived.extend(slot, event).features.slice(1)
  }
  return { schema, derived, next }
}

describe('DerivedFeatures', () => {
  it('count and sum what the key had in a window that ends with the event', () => {
    const { next } = derivedOf()
    expect(next(0, 5).slice(0, 2)).to.deep.equal([1, 5])
    expect(next(60, 7).slice(0, 2)).to.deep.equal([2, 12])
    expect(next(60, 1, { slot: 1 }).slice(0, 2)).to.deep.equal([1, 1])
    expect(next(3 * 3600, 2).slice(0, 2)).to.deep.equal([1, 2])
  })

  it('let events leave a window about when they are too old: an eighth of it earlier or later at most', () => {
    const { derived } = derivedOf()
    let seed = 7
    const random = (): number => {
      seed = (seed * 16807) % 2147483647
      return seed / 2147483647
    }
    const times: number[] = []
    for (let time = start; times.length < 2000; time += random() ** 4 * 2 * hour) {
      times.push(time)
      const [, count] = derived.extend(0, { id: 'e', key: 'k', time, value: 1, features: [1] }).features
      const within = (ms: number) => times.filter((one) => one > time - ms).length
      expect(count).to.be.within(within((hour * 7) / 8 - 1), within((hour * 9) / 8 + 1))
    }
  })

  it('say how long ago the last event was, and how fast a field changes', () => {
    const { next } = derivedOf()
    const [since, change] = [2, 4]
    expect(next(0, 1, { load: 10 })[since]).to.be.NaN
    const second = next(30, 1, { load: 25 })
    expect([second[since], second[change]]).to.deep.equal([30, 0.5])
    const late = next(10, 1, { load: 99 })
    expect([late[since], late[change]]).to.deep.equal([Number.NaN, Number.NaN])
    expect(next(40, 1, { load: 25 })[change]).to.equal(0)
  })

  it('hold a field against its mean in the events before', () => {
    const { next } = derivedOf()
    const ratios = [10, 20, 30, 40, 20].map((value, i) => next(i, value)[3])
    expect(ratios).to.deep.equal([Number.NaN, Number.NaN, Number.NaN, 2, 0.8])
  })

  it('are absent where the event lacks what they are made of, or the schema does not know them', () => {
    const { next } = derivedOf()
    expect(next(0, Number.NaN).slice(0, 2)).to.deep.equal([1, 0])
    expect(next(1, Number.NaN)[3]).to.be.NaN
    const unknown = new DerivedFeatures(specs, new FeatureSchema(['load']))
    const event: Event = { id: 'e', key: 'k', time: Number.NaN, value: 1, features: [3] }
    expect(unknown.extend(0, event)).to.deep.equal(event)
  })

  it('come back from their bytes, but not from those of other ones', () => {
    const { derived, next } = derivedOf()
    for (let i = 0; i < 50; i++) next(i * 100, i, { load: i })
    const bytes = new DataView(new ArrayBuffer(derived.bytesPerKey))
    derived.save(0, bytes, 0)
    const same = derivedOf()
    same.derived.load(0, bytes, 0, derived.bytesPerKey)
    expect(same.next(5050, 3)).to.deep.equal(next(5050, 3))
    const others = derivedOf([...specs.slice(0, 4), { name: 'change', change: { field: 'value' } }])
    others.derived.load(0, bytes, 0, derived.bytesPerKey)
    expect(others.next(5050, 3).slice(0, 2)).to.deep.equal([1, 3])
  })

  it('count as carried, so that their names do not expire', () => {
    const { schema, next } = derivedOf()
    next(0, 1)
    expect(schema.takeUsed()).to.include('count-1h')
  })
})
