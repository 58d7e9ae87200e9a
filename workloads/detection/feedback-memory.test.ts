import { expect } from 'chai'
import type { Event } from './event.ts'
import { Evidence, valueField } from './evidence.ts'
import type { Feedback } from './feedback.ts'
import { FeedbackMemory } from './feedback-memory.ts'
import { SecondaryRisks } from './secondary-risks.ts'
import type { Reason } from './verdict.ts'

const day = 86_400_000
const amount: Reason = { detector: 'profile', feature: 'value', observed: 500, expected: 100, contribution: 1 }

function memoryOf(secondaryKeys: readonly string[] = ['terminal']) {
  const memory = new FeedbackMemory({
    categories: ['country'],
    risks: new SecondaryRisks(secondaryKeys),
    fieldOf: (feature) => (feature === 'value' ? valueField : undefined),
  })
  memory.reset(0)
  memory.reset(1)
  return memory
}

const event = (time: number, terminal = 't1'): Event => ({
  id: 'e',
  key: 'u',
  time,
  value: 1,
  features: [],
  secondaryKeys: [terminal],
})

const said = (label: Feedback['label'], more: Partial<Feedback> = {}): Feedback => ({
  eventId: 'e1',
  key: 'u',
  secondaryKeys: ['t1'],
  label,
  time: 10 * day,
  anomalyScore: 0.9999,
  reasons: [amount],
  ...more,
})

describe('FeedbackMemory', () => {
  const riskOf = (memory: FeedbackMemory, slot: number, at: Event, evidence = new Evidence()) =>
    memory.observe(slot, at, evidence)

  it('adds nothing to keys of which nothing was said', () => {
    const memory = memoryOf()
    for (let i = 0; i < 10; i++) expect(riskOf(memory, 0, event(i * day))).to.equal(0)
    expect(memory.knows(0)).to.equal(false)
  })

  it('raises the risk of the key and of its secondary keys, in whoever else they occur, and lets it fade', () => {
    const memory = memoryOf()
    memory.learn(0, said('Confirmed'))
    const evidence = new Evidence()
    const ofOther = riskOf(memory, 1, event(10 * day), evidence)
    expect(ofOther).to.be.above(3)
    expect([evidence.field[0], evidence.observed[0]]).to.deep.equal([-2, 1])
    expect(riskOf(memory, 1, event(10 * day, 't2'))).to.equal(0)
    expect(riskOf(memory, 0, event(10 * day, 't2'))).to.be.above(1)
    expect(riskOf(memory, 1, event(13 * day))).to.be.below(0.6 * ofOther)
    expect(riskOf(memory, 1, event(60 * day))).to.be.below(0.01)
  })

  it('weighs confirmed anomalies against the other events of a key', () => {
    const memory = memoryOf()
    for (let i = 0; i < 1000; i++) riskOf(memory, 1, event(i * 0.01 * day, 'busy'))
    memory.learn(0, said('Confirmed', { secondaryKeys: ['busy'] }))
    memory.learn(0, said('Confirmed', { eventId: 'e2', secondaryKeys: ['quiet'] }))
    expect(riskOf(memory, 1, event(10 * day, 'busy'))).to.be.below(riskOf(memory, 1, event(10 * day, 'quiet')) / 10)
  })

  it('counts an event once, however often it is confirmed, and what was said last holds', () => {
    const once = memoryOf()
    once.learn(0, said('Confirmed'))
    const again = memoryOf()
    for (let i = 0; i < 5; i++) again.learn(0, said('Confirmed'))
    expect(riskOf(again, 0, event(11 * day))).to.equal(riskOf(once, 0, event(11 * day)))
    again.learn(0, said('FalseAlarm', { time: 11 * day }))
    expect(riskOf(again, 0, event(11 * day))).to.equal(0)
    expect(again.accepts(0, valueField, 400)).to.equal(true)
  })

  it('forgets what is withdrawn', () => {
    const memory = memoryOf()
    memory.learn(0, said('Confirmed'))
    memory.learn(0, said('Withdrawn', { time: 12 * day }))
    expect(riskOf(memory, 0, event(12 * day))).to.equal(0)
    expect(memory.knows(0)).to.equal(false)
    memory.learn(0, said('FalseAlarm'))
    memory.learn(0, said('Withdrawn'))
    expect(memory.accepts(0, valueField, 400)).to.equal(false)
  })

  it('calls normal what lies between the expected and somewhat more than a false alarm, for its key alone', () => {
    const memory = memoryOf()
    memory.learn(0, said('FalseAlarm'))
    const accepted = [99, 101, 500, 599, 601].map((x) => memory.accepts(0, valueField, x))
    expect(accepted).to.deep.equal([false, true, true, true, false])
    expect(memory.accepts(1, valueField, 400)).to.equal(false)
    expect(memory.accepts(0, valueField + 1, 400)).to.equal(false)
  })

  it('bars from learning what lies nearer to a confirmed number than to the expected, and beyond', () => {
    const memory = memoryOf()
    memory.learn(0, said('Confirmed'))
    expect([100, 299, 301, 9e9].map((x) => memory.bars(0, valueField, x))).to.deep.equal([false, false, true, true])
    expect(memory.accepts(0, valueField, 400)).to.equal(false)
  })

  it('takes nothing for a pattern that the verdict found ordinary', () => {
    const memory = memoryOf()
    memory.learn(0, said('FalseAlarm', { anomalyScore: 0.5 }))
    memory.learn(0, said('Confirmed', { eventId: 'e2', reasons: [{ ...amount, contribution: 0.1 }] }))
    expect(memory.accepts(0, valueField, 400)).to.equal(false)
    expect(memory.bars(0, valueField, 400)).to.equal(false)
  })

  it('keeps the last notes where there are too many', () => {
    const memory = memoryOf()
    for (let i = 0; i < 20; i++)
      memory.learn(
        0,
        said('FalseAlarm', { eventId: `e${i}`, time: i * day, reasons: [{ ...amount, observed: 1000 * (i + 1) }] }),
      )
    expect(memory.accepts(0, valueField, 20_000)).to.equal(true)
    expect(memory.accepts(0, valueField, 26_000)).to.equal(false)
    for (let i = 12; i < 20; i++) memory.learn(0, said('Withdrawn', { eventId: `e${i}`, time: 30 * day }))
    expect(memory.knows(0)).to.equal(false)
  })

  it('comes back from its bytes', () => {
    const memory = memoryOf([])
    memory.learn(0, said('Confirmed'))
    memory.learn(0, said('FalseAlarm', { eventId: 'e2' }))
    const bytes = new DataView(new ArrayBuffer(memory.bytesPerKey))
    memory.save(0, bytes, 0)
    const other = memoryOf([])
    other.load(0, bytes, 0, memory.bytesPerKey)
    expect(riskOf(other, 0, event(11 * day))).to.equal(riskOf(memory, 0, event(11 * day)))
    expect(other.accepts(0, valueField, 400)).to.equal(true)
    const untouched = memoryOf([])
    untouched.load(0, new DataView(new ArrayBuffer(memory.bytesPerKey)), 0, memory.bytesPerKey)
    untouched.load(0, bytes, 0, 8)
    expect(untouched.knows(0)).to.equal(false)
  })
})
