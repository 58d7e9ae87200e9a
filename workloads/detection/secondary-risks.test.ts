import { expect } from 'chai'
import { random } from './random.ts'
import { countAnomaly, countEvent, riskOf, uncountAnomaly } from './risk.ts'
import { anomaliesOf, eventsOf, type Partials, SecondaryRisks } from './secondary-risks.ts'

const day = 86_400_000
const nothing: Partials = new Map()

describe('SecondaryRisks', () => {
  /** As one that counted `events` at that time, and `anomalies` of them confirmed. */
  function partialOf(time: number, events: number, anomalies = 0): Uint8Array {
    const risks = new SecondaryRisks(['terminal'])
    const known = risks.of(0, 't')
    for (let i = 0; i < events; i++) countEvent(known.own, 0, time)
    for (let i = 0; i < anomalies; i++) countAnomaly(known.own, 0, time)
    risks.adopt(known, nothing, { at: 0 })
    return risks.save('terminal:t')!.payload
  }

  it('add up the partials of other partitions and what this one counts, each faded to the time of the event', () => {
    const risks = new SecondaryRisks(['terminal'])
    const known = risks.of(0, 't')
    const partials = new Map([
      [0, partialOf(10 * day, 5)],
      [1, partialOf(10 * day, 8, 2)],
      [3, partialOf(13 * day, 4, 1)],
    ])
    risks.adopt(known, partials, { own: 0, at: 0 })
    countEvent(risks.changing(known), 0, 16 * day)
    expect(anomaliesOf(known, 16 * day)).to.be.closeTo(2 * Math.exp(-2) + Math.exp(-1), 1e-5)
    const events = 5 * Math.exp(-6 / 14) + 8 * Math.exp(-6 / 14) + 4 * Math.exp(-3 / 14) + 1
    expect(eventsOf(known, 16 * day)).to.be.closeTo(events, 1e-5)
  })

  it('keep the values of each secondary key apart, whatever fields and values are called', () => {
    const risks = new SecondaryRisks(['a', 'a:b', 'ä c'])
    risks.begin()
    const values = [risks.of(0, 'b:c'), risks.of(1, 'c'), risks.of(2, ''), risks.of(0, 'c')]
    for (const [i, known] of values.entries()) {
      for (let count = 0; count <= i; count++) countEvent(risks.changing(known), 0, day)
      risks.adopt(known, nothing, { at: 0 })
    }
    const names = [...risks.commit().keys()]
    expect(new Set(names).size).to.equal(4)
    expect([...risks.names()].toSorted()).to.deep.equal([...new Set(names)].toSorted())
    const events = values.map(({ name }) => Buffer.from(risks.save(name)!.payload).readFloatLE(0))
    expect(events).to.deep.equal([1, 2, 3, 4])
  })

  it('say which of the stored partials others should know of', () => {
    const risks = new SecondaryRisks(['terminal'])
    const known = risks.of(0, 't')
    risks.adopt(known, nothing, { at: 0 })
    countEvent(known.own, 0, day)
    expect(risks.save(known.name)).to.include({ isRisky: false })
    countAnomaly(known.own, 0, day)
    expect(risks.save(known.name)).to.include({ isRisky: true })
    uncountAnomaly(known.own, 0, day)
    expect(risks.save(known.name)).to.include({ isRisky: false })
    countAnomaly(known.own, 0, day)
    countEvent(known.own, 0, 90 * day)
    expect(risks.save(known.name), 'long ago').to.include({ isRisky: false })
  })

  it('do not store what was counted before the store could be read, and join it with what is stored then', () => {
    const risks = new SecondaryRisks(['terminal'])
    const known = risks.of(0, 't')
    risks.begin()
    countEvent(risks.changing(known), 0, day)
    expect([...risks.commit().keys()]).to.deep.equal(['terminal:t'])
    expect(risks.save('terminal:t')).to.equal(undefined)
    risks.begin()
    countEvent(risks.changing(known), 0, day)
    risks.adopt(known, new Map([[2, partialOf(day, 5)]]), { own: 2, at: 0 })
    risks.rollback()
    expect(eventsOf(known, day), 'the batch in hand is undone, what was read is not').to.equal(6)
    expect([...risks.commit().keys()]).to.deep.equal(['terminal:t'])
    risks.adopt(known, new Map([[2, partialOf(day, 100)]]), { own: 2, at: 1 })
    expect(eventsOf(known, day), 'from now on memory is right').to.equal(6)
  })

  it('leave what is no partial aside', () => {
    const risks = new SecondaryRisks(['terminal'])
    const known = risks.of(0, 't')
    risks.adopt(known, new Map([[1, new Uint8Array(3)]]), { own: 0, at: 0 })
    expect(eventsOf(known, day)).to.equal(0)
  })

  it('forget the values that did not occur for longest', () => {
    const risks = new SecondaryRisks(['terminal'])
    risks.limit(10)
    for (let i = 0; i < 100; i++) countEvent(risks.of(0, `t${i}`).own, 0, day)
    for (let i = 90; i < 100; i++) expect(eventsOf(risks.of(0, `t${i}`), day), `t${i}`).to.equal(1)
    expect(eventsOf(risks.of(0, 't3'), day)).to.equal(0)
    expect([...risks.names()].length).to.be.at.most(20)
  })

  const values = [
    [0, 't0'],
    [0, 't1'],
    [0, 't2'],
    [1, 'c0'],
    [1, 'c1'],
  ] as const

  it('come to what one process counts, however often batches are repeated, written again and handed over', () => {
    for (let seed = 1; seed <= 40; seed++) expectExact(seed)
  })

  /** Partitions whose transactions fail, whose flushes are repeated, and whose owners change. */
  function expectExact(seed: number): void {
    const { int: below } = random(seed)
    const stored = new Map<string, Map<number, Uint8Array>>()
    const whole = new SecondaryRisks(['terminal', 'city'])
    let owners = Array.from({ length: 4 }, () => new SecondaryRisks(['terminal', 'city']))
    const read = (risks: SecondaryRisks, own: number, s: number, value: string) => {
      const known = risks.of(s, value)
      risks.adopt(known, stored.get(known.name) ?? nothing, { own, at: 0 })
      return known
    }
    let time = 20 * day
    for (let step = 0; step < 120; step++) {
      const partition = below(4)
      const risks = owners[partition]!
      time += below(day)
      const batch = Array.from({ length: 1 + below(5) }, (_, i) => ({
        secondaryKeys: [`t${below(3)}`, `c${below(2)}`],
        isConfirmed: below(4) === 0,
        time: time + i,
      }))
      const count = (into: SecondaryRisks) => {
        for (const one of batch)
          for (const known of into.valuesOf([one]))
            (one.isConfirmed ? countAnomaly : countEvent)(into.changing(known), 0, one.time)
      }
      for (let tries = below(3); tries >= 0; tries--) {
        for (const [s, value] of values) read(risks, partition, s, value)
        risks.begin()
        count(risks)
        if (tries > 0) risks.rollback()
      }
      const changed = [...risks.commit().keys()]
      for (let times = below(3); times >= 0; times--)
        for (const name of changed) {
          const all = stored.get(name) ?? new Map<number, Uint8Array>()
          stored.set(name, all.set(partition, risks.save(name)!.payload))
        }
      count(whole)
      if (below(5) === 0) owners = owners.with(partition, new SecondaryRisks(['terminal', 'city']))
    }
    const reader = below(4)
    for (const [s, value] of values) {
      const [known, expected] = [read(owners[reader]!, reader, s, value), whole.of(s, value)]
      const riskIn = (one: typeof known) => [anomaliesOf(one, time), eventsOf(one, time)] as const
      const [[a, n], [b, m]] = [riskIn(known), riskIn(expected)]
      expect(a, `seed ${seed}`).to.be.closeTo(b, 1e-4)
      expect(n, `seed ${seed}`).to.be.closeTo(m, 1e-4 * m + 1e-4)
      expect(riskOf(a, n)).to.be.closeTo(riskOf(b, m), 1e-5)
    }
  }
})
