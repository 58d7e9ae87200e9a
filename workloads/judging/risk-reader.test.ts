import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { countEvent } from '../detection/risk.ts'
import { eventsOf, type Partials, SecondaryRisks } from '../detection/secondary-risks.ts'
import { RiskReader } from './risk-reader.ts'

const at = (...terminals: readonly string[]) => terminals.map((terminal) => ({ secondaryKeys: [terminal] }))

/** A store with a partial of one event of each value in partition 1; what it was asked for. */
function scene() {
  let now = 0
  let isAway = false
  const risky: string[] = []
  const asked: string[][] = []
  const looked: number[] = []
  const other = new SecondaryRisks(['terminal'])
  const stored = (name: string): Partials => {
    const known = other.of(0, name.slice('terminal:'.length))
    countEvent(known.own, 0, 1)
    known.readAt = 0
    return new Map([[1, other.save(name)!.payload]])
  }
  const refuseAway = () => {
    if (isAway) throw new AppError('Unavailable', 'away')
  }
  const reader = new RiskReader({
    store: {
      async loadPartials(names) {
        refuseAway()
        asked.push([...names])
        return names.map(stored)
      },
      async riskySince(time) {
        refuseAway()
        looked.push(time)
        return { at: 1_000_000 + now, names: risky }
      },
    },
    clock: () => now,
  })
  const risks = new SecondaryRisks(['terminal'])
  return {
    risks,
    asked,
    looked,
    risky,
    read: (...terminals: readonly string[]) => reader.read(risks, at(...terminals), 0),
    events: (terminal: string) => eventsOf(risks.of(0, terminal), 1),
    pass: (ms: number) => {
      now += ms
    },
    setAway: (away: boolean) => {
      isAway = away
    },
  }
}

describe('RiskReader', () => {
  it('reads the values of a batch in one call, each once where it has no risk', async () => {
    const { read, asked, events, pass } = scene()
    expect(await read('t1', 't2', 't1', '')).to.equal(true)
    pass(5000)
    expect(await read('t1', 't3')).to.equal(true)
    expect(await read('t3')).to.equal(true)
    expect(asked).to.deep.equal([['terminal:t1', 'terminal:t2'], ['terminal:t3']])
    expect([events('t1'), events('t4')]).to.deep.equal([1, 0])
  })

  it('reads values that have a risk again each second, and so it does the list of those', async () => {
    const { read, asked, looked, risky, events, pass } = scene()
    await read('t1', 't2')
    risky.push('terminal:t1')
    await read('t1', 't2')
    expect(asked).to.have.length(1)
    pass(1000)
    await read('t1', 't2')
    expect(asked[1]).to.deep.equal(['terminal:t1'])
    expect([events('t1'), events('t2')]).to.deep.equal([2, 1])
    await read('t1')
    pass(999)
    await read('t1')
    expect(asked).to.have.length(2)
    pass(1)
    await read('t1')
    expect(asked).to.have.length(3)
    expect(looked, 'some seconds more than since the last time').to.deep.equal([0, 995_000, 996_000])
  })

  it('goes on with what it knows while the store is away, and reads what it missed when that is back', async () => {
    const { read, asked, risky, events, pass, setAway } = scene()
    risky.push('terminal:t1')
    await read('t1')
    setAway(true)
    pass(2000)
    expect(await read('t1'), 'known').to.equal(true)
    expect(events('t1')).to.equal(1)
    expect(await read('t1', 't2'), 'one is not').to.equal(false)
    setAway(false)
    pass(2000)
    expect(await read('t3')).to.equal(true)
    expect(asked.at(-1)).to.deep.equal(['terminal:t3', 'terminal:t2'])
  })

  it('asks nothing where no event has a value', async () => {
    const { read, asked, looked } = scene()
    expect(await read('')).to.equal(true)
    expect([asked, looked]).to.deep.equal([[], []])
  })
})
