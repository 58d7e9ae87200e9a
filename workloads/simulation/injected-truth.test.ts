import { expect } from 'chai'
import { createInjectedTruth } from './injected-truth.ts'
import type { AnomalyKind } from './simulate-payments.ts'

const event = { eventId: 'payment-1', timestamp: 0, userId: 'user-1', value: 1, features: {} }

describe('Injected truth', () => {
  it('counts alerts for precision and episodes for recall', () => {
    const truth = createInjectedTruth()
    const judged: [AnomalyKind | '', number, boolean][] = [
      ['', 0, true],
      ['', 0, false],
      ['stolen-card-burst', 1, false],
      ['stolen-card-burst', 1, true],
      ['stolen-card-burst', 1, true],
      ['slow-drift', 2, false],
      ['amount-spike', 3, true],
    ]
    for (const [injected, episode, isAnomaly] of judged) truth.judge({ event, injected, episode }, isAnomaly)
    const { precision, recall, kinds, falseAlerts } = truth.summary()
    expect({ precision, recall, falseAlerts }).to.deep.equal({ precision: 3 / 4, recall: 2 / 3, falseAlerts: 1 })
    expect(kinds.filter(({ episodes }) => episodes > 0)).to.deep.equal([
      { kind: 'amount-spike', episodes: 1, found: 1, alerts: 1 },
      { kind: 'stolen-card-burst', episodes: 1, found: 1, alerts: 2 },
      { kind: 'slow-drift', episodes: 1, found: 0, alerts: 0 },
    ])
  })

  it('knows no precision without an alert and no recall without an episode', () => {
    const { precision, recall } = createInjectedTruth().summary()
    expect([precision, recall]).to.deep.equal([Number.NaN, Number.NaN])
  })
})
