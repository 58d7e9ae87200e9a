import { expect } from 'chai'
import { Categories } from './categories.ts'
import { Evidence } from './evidence.ts'
import { random } from './random.ts'

const evidence = new Evidence()

function see(detector: Categories, slot: number, ...categories: readonly string[]): number {
  evidence.clear()
  const event = { id: 'e', key: 'k', time: 0, value: Number.NaN, features: [], categories }
  return detector.observe(slot, event, evidence)
}

/** Keys with a country of their own, and merchants that change with every event. */
function trained(events = 20_000, keys = 100) {
  const detector = new Categories(['country', 'merchant'])
  const { next, int } = random('categories')
  for (let slot = 0; slot < keys; slot++) detector.reset(slot)
  const homes = ['DE', 'FR', 'US', 'ES', 'IT']
  const ordinary = (i: number): readonly [slot: number, country: string, merchant: string] => {
    const slot = i % keys
    return [slot, next() < 0.002 ? homes[int(5)]! : homes[slot % 5]!, `m${Math.floor(500 * next() ** 3)}`]
  }
  for (let i = 0; i < events; i++) see(detector, ...ordinary(i))
  return { detector, ordinary }
}

describe('Categories', () => {
  it('finds a value that is rare for the key and the stream, and says how often it was seen', () => {
    const { detector } = trained()
    const rare = see(detector, 7, 'BR', 'm1')
    expect(rare).to.be.above(5)
    expect([evidence.field[0], evidence.observed[0], evidence.expected[0]]).to.deep.equal([-1, 0, 200])
    expect(see(detector, 8, 'DE', 'm1')).to.be.within(1, rare)
    expect(see(detector, 7, 'US', 'm1')).to.be.below(2)
  })

  it('calls one in a thousand of the ordinary events one in a thousand, or fewer', () => {
    const { detector, ordinary } = trained()
    let high = 0
    for (let i = 0; i < 20_000; i++) if (see(detector, ...ordinary(i)) > Math.log(1000)) high++
    expect(high).to.be.below(60)
  })

  it('is not surprised by new values of a key that always has new ones', () => {
    const { detector } = trained()
    for (let i = 0; i < 300; i++) see(detector, 3, 'IT', `only-once-${i}`)
    expect(see(detector, 3, 'IT', 'only-once-more')).to.be.below(3)
  })

  it('leaves out categories that the event lacks', () => {
    const { detector } = trained(1000)
    expect(see(detector, 0, '', '')).to.equal(0)
    expect(see(detector, 0)).to.equal(0)
  })

  it('comes to know a value that stays', () => {
    const { detector } = trained()
    const first = see(detector, 7, 'BR', 'm1')
    for (let i = 0; i < 50; i++) see(detector, 7, 'BR', 'm1')
    expect(see(detector, 7, 'BR', 'm1')).to.be.below(first / 2)
  })

  it('goes on from what it saved, to the bit', () => {
    const { detector, ordinary } = trained(5000)
    const other = new Categories(['country', 'merchant'])
    other.shared.load(detector.shared.save())
    const view = new DataView(new ArrayBuffer(detector.bytesPerKey))
    for (let slot = 0; slot < 100; slot++) {
      detector.save(slot, view, 0)
      other.reset(slot)
      other.load(slot, view, 0, view.byteLength)
    }
    for (let i = 0; i < 2000; i++) {
      const event = ordinary(i)
      expect(see(other, ...event)).to.equal(see(detector, ...event))
    }
    expect(() => other.load(0, view, 0, 8)).to.throw(RangeError)
    expect(() => other.shared.load(new Uint8Array(7))).to.throw(RangeError)
  })

  it('keeps a bounded memory, whatever a key shows', () => {
    const { detector } = trained(100)
    const { bytesPerKey } = detector
    for (let i = 0; i < 20_000; i++) see(detector, 1, `c${i}`, `m${i}`)
    expect(detector.bytesPerKey).to.equal(bytesPerKey).and.to.be.below(256)
    expect(Number.isFinite(see(detector, 1, 'c1', 'm1'))).to.equal(true)
  })
})
