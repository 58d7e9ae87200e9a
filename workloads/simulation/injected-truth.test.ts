import { expect } from 'chai'
import type { Verdict } from '../detection/verdict.ts'
import { createInjectedTruth } from './injected-truth.ts'
import type { AnomalyKind } from './simulate-payments.ts'

const event = { eventId: 'payment-1', timestamp: 0, userId: 'user-1', value: 1, features: {} }

let count = 0
const verdict = (userId: string, isAnomaly: boolean): Verdict => ({
  eventId: `payment-${count++}`,
  userId,
  timestamp: 1000 * count,
  isAnomaly,
  anomalyScore: 0.9,
  threshold: 0.8,
  confidence: 1,
  modelVersion: 'NONE',
  reasons: [],
  scores: {},
})

describe('Injected truth', () => {
  it('counts alerts for precision and episodes for recall', () => {
    const truth = createInjectedTruth({ refractorySeconds: 300 })
    const judged: [AnomalyKind | '', number, Verdict][] = [
      ['', 0, verdict('a', true)],
      ['', 0, verdict('b', false)],
      ['stolen-card-burst', 1, verdict('c', false)],
      ['stolen-card-burst', 1, verdict('c', true)],
      ['stolen-card-burst', 1, verdict('c', true)],
      ['slow-drift', 2, verdict('d', false)],
      ['amount-spike', 3, verdict('e', true)],
    ]
    for (const [injected, episode, decided] of judged) truth.judge({ event, injected, episode }, decided)
    const { precision, recall, kinds, falseAlerts, episodes } = truth.summary()
    expect(episodes.truth).to.deep.include({ found: 2, missed: 1, falseEpisodes: 1 })
    expect({ precision, recall, falseAlerts }).to.deep.equal({ precision: 3 / 4, recall: 2 / 3, falseAlerts: 1 })
    expect(kinds.filter(({ episodes }) => episodes > 0)).to.deep.equal([
      { kind: 'amount-spike', episodes: 1, found: 1, alerts: 1 },
      { kind: 'stolen-card-burst', episodes: 1, found: 1, alerts: 2 },
      { kind: 'slow-drift', episodes: 1, found: 0, alerts: 0 },
    ])
  })

  it('knows no precision without an alert and no recall without an episode', () => {
    const { precision, recall } = createInjectedTruth({ refractorySeconds: 300 }).summary()
    expect([precision, recall]).to.deep.equal([Number.NaN, Number.NaN])
  })
})
