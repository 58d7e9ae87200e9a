import { expect } from 'chai'
import { AlertBudget, type AlertBudgetOptions } from './alert-budget.ts'
import { random } from './random.ts'

/** Surprisals of ordinary events: exceeded by s in exp(-s) of them. */
function ordinary(seed: number): () => number {
  const { next } = random(seed)
  return () => -Math.log(1 - next())
}

/** Which of the surprisals alert. */
function decide(
  budget: AlertBudget,
  count: number,
  surprisalOf: (event: number, threshold: number) => number,
): boolean[] {
  return Array.from({ length: count }, (_, event) => {
    const threshold = budget.threshold(1000)
    return budget.spend(surprisalOf(event, threshold) >= threshold)
  })
}

const count = (alerts: readonly boolean[]) => alerts.filter(Boolean).length

/** What a score stream may do, from stream to stream worse. */
const adversaries: Readonly<Record<string, (seed: number) => (event: number, threshold: number) => number>> = {
  'ordinary events': ordinary,
  'a flood that begins at once': (seed) => plus(ordinary(seed), () => 30),
  'a flood in the middle': (seed) => plus(ordinary(seed), (event) => (event > 23_456 && event < 40_000 ? 50 : 0)),
  'a flood of one event in a hundred': (seed) => plus(ordinary(seed), (event) => (event % 100 === 0 ? 12 : 0)),
  'floods that come and go': (seed) => plus(ordinary(seed), (event) => (event % 7000 < 500 ? 20 : 0)),
  'scores that grow for ever': (seed) => plus(ordinary(seed), (event) => event / 1000),
  'scores that are always at the threshold': () => (_, threshold) => threshold,
  infinity: () => () => Number.POSITIVE_INFINITY,
  'silence, then a flood': (seed) => plus(ordinary(seed), (event) => (event < 50_000 ? -100 : 10)),
  'a scale of its own': (seed) => {
    const next = ordinary(seed)
    return () => 3 * next()
  },
}

function plus(next: () => number, more: (event: number) => number): (event: number) => number {
  return (event) => next() + more(event)
}

describe('AlertBudget', () => {
  for (const [name, stream] of Object.entries(adversaries))
    it(`keeps every block of 10,000 events within 1.3 of the budget: ${name}`, () => {
      for (const [seed, perMillion] of [1000, 3000, 20_000, 300, 50].entries())
        for (const mode of ['Quota', 'Ceiling'] as const) {
          const block = Math.max(10_000, 1e7 / perMillion)
          const alerts = decide(new AlertBudget({ perMillion, mode }), Math.ceil(3.5 * block), stream(seed))
          for (let from = 0; from < alerts.length; from += block)
            expect(count(alerts.slice(from, from + block))).to.be.at.most((1.3 * perMillion * block) / 1e6)
        }
    })

  it('begins where calibrated scores use the budget, and uses it', () => {
    for (const perMillion of [1000, 3000, 10_000]) {
      const budget = new AlertBudget({ perMillion })
      expect(budget.theta).to.equal(-Math.log(perMillion / 1e6))
      const alerts = decide(budget, 300_000, ordinary(perMillion))
      expect(count(alerts) / (0.3 * perMillion)).to.be.within(0.9, 1.1)
    }
  })

  it('uses the budget whatever the scale of the scores is, after a while', () => {
    for (const scale of [0.8, 1.25]) {
      const next = ordinary(1)
      const alerts = decide(new AlertBudget({ perMillion: 3000 }), 600_000, () => scale * next())
      expect(count(alerts.slice(300_000)) / 900).to.be.within(0.9, 1.1)
    }
  })

  it('has its threshold back within a block after a flood of a block, however high that was', () => {
    for (const perMillion of [300, 1000, 3000, 20_000])
      for (const height of [3, 10, 1000]) {
        const block = Math.max(10_000, 1e7 / perMillion)
        const budget = new AlertBudget({ perMillion })
        const next = ordinary(height)
        decide(budget, 3 * block, next)
        const before = budget.theta
        decide(budget, block, () => next() + height)
        decide(budget, block, next)
        expect(budget.theta).to.be.closeTo(before, 0.02 * perMillion * 1e-6 * block)
      }
  })

  it('asks more of keys without history, where they have profiles', () => {
    const budget = new AlertBudget({ perMillion: 1000, waitsForKeys: true })
    expect(budget.threshold(0)).to.equal(budget.theta + 2)
    expect(budget.threshold(20)).to.be.closeTo(budget.theta + 2 / Math.E, 1e-12)
    expect(budget.threshold(1000)).to.be.closeTo(budget.theta, 1e-12)
    expect(new AlertBudget({ perMillion: 1000 }).threshold(0)).to.equal(budget.theta)
  })

  it('as a ceiling never alerts on what is not as rare as the budget asks for', () => {
    const next = ordinary(3)
    const quiet = () => 0.5 * next()
    const used = (mode: 'Quota' | 'Ceiling') =>
      count(decide(new AlertBudget({ perMillion: 3000, mode }), 300_000, quiet))
    expect(used('Ceiling')).to.be.below(20)
    expect(used('Quota')).to.be.above(600)
  })

  it('begins in another place where scores are discords, within what the table says', () => {
    const of = (perMillion: number) => new AlertBudget({ perMillion, isCalibrated: false }).theta
    expect(of(1000)).to.be.closeTo(3.8, 1e-12)
    expect(of(700)).to.be.within(3.8, 4.7)
    expect(of(1)).to.be.within(6, 40)
    expect(of(1_000_000)).to.equal(0.2)
  })

  it('goes on elsewhere from what was saved', () => {
    const options: AlertBudgetOptions = { perMillion: 1000 }
    const [one, other] = [new AlertBudget(options), new AlertBudget(options)]
    decide(one, 12_345, (event) => (event % 500 === 0 ? 20 : 0))
    const memory = new DataView(new ArrayBuffer(AlertBudget.bytes + 3))
    one.save(memory, 3)
    other.load(memory, 3)
    const rest = (event: number) => (event % 300 === 0 ? 20 : 0)
    expect(decide(other, 20_000, rest)).to.deep.equal(decide(one, 20_000, rest))
    expect(other.theta).to.equal(one.theta)
  })
})
