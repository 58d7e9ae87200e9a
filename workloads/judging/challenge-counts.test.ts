import { expect } from 'chai'
import { Registry } from 'prom-client'
import type { Feedback } from '../detection/feedback.ts'
import type { Verdict } from '../detection/verdict.ts'
import { ChallengeCounts } from './challenge-counts.ts'

const verdict = (modelVersion: string, isAnomaly = false) => ({ modelVersion, isAnomaly }) as Verdict
const said = (label: Feedback['label'], modelVersion?: string) => ({ label, modelVersion }) as Feedback
const none = { events: 0, alerts: 0, confirmed: 0, falseAlarms: 0 }

describe('ChallengeCounts', () => {
  it('counts verdicts and feedback when the batch takes effect, by who scored the event', async () => {
    let version: string | undefined = 'v2'
    const registry = new Registry()
    const counts = new ChallengeCounts(registry, () => version)
    const committed = counts.observe({
      outcomes: [verdict('v1'), verdict('v2', true), verdict('v2'), { reason: 'InvalidTime', message: '' }],
      said: [said('Confirmed', 'v2'), said('FalseAlarm', 'v2'), said('FalseAlarm', 'v1'), said('Withdrawn', 'v1')],
    })
    counts.observe({ outcomes: [verdict('v2')], said: [said('Confirmed')] })
    expect(counts.counts).to.equal(undefined)
    committed()
    expect(counts.counts).to.deep.equal({
      champion: { events: 1, alerts: 0, confirmed: 0, falseAlarms: 1 },
      challenger: { events: 2, alerts: 1, confirmed: 1, falseAlarms: 1 },
    })
    const metrics = await registry.metrics()
    expect(metrics).to.include('anomaly_challenge_verdicts_total{model="challenger",verdict="anomaly"} 1')
    expect(metrics).to.include('anomaly_challenge_feedback_total{model="champion",label="FalseAlarm"} 1')

    version = 'v3'
    expect(counts.counts, 'another challenger').to.equal(undefined)
    counts.observe({ outcomes: [verdict('v3')] })()
    expect(counts.counts).to.deep.equal({ champion: none, challenger: { ...none, events: 1 } })
    version = undefined
    counts.observe({ outcomes: [verdict('v3')] })()
    expect(counts.counts).to.equal(undefined)
  })
})
