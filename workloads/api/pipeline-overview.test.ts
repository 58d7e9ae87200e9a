import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Health } from '../rest/door.ts'
import { pipelineOverview } from './pipeline-overview.ts'

const pipeline = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'payments' },
  spec: { source: { brokers: ['kafka:9092'], topic: 'payments' }, detection: { threshold: '0.99' } },
})
const health: Health = { status: 'UP', components: { kafka: { status: 'UP' } }, modelVersion: '00000001' }
const options = { pipeline, health, takesFeedback: false }
const consumer = (changes: object = {}) => ({
  role: 'consumer' as const,
  status: {
    ...{ events: 1000, alerts: 3, episodes: 2, rejected: 5, openEpisodes: 1, keys: 40 },
    lag: { 0: 7, 1: 3 },
    flow: {
      eventsPerSecond: 25,
      latencyMs: { median: 4, p95: 9 },
      rejected: [{ reason: 'InvalidTime', count: 5 }],
    },
    ...{ kafka: 'ok', redis: 'ok', record: 'ok' },
    ...changes,
  },
})

describe('pipelineOverview()', () => {
  it('adds up what consumers say, tells the times of the slowest, and whose model decides', () => {
    const slower = { eventsPerSecond: 5, latencyMs: { median: 3, p95: 30 }, rejected: [{ reason: 'NoKey', count: 6 }] }
    const model = { modelVersion: '00000007', modelFitTime: '2024-01-01T00:00:00Z' }
    const others = [{ role: 'inference' as const, status: model }, ...Array(2).fill({ role: 'api', status: {} })]
    const statuses = [consumer(), consumer({ flow: slower, lag: {} }), ...others]
    expect(pipelineOverview(statuses, options)).to.deep.equal({
      ...{ pipeline: 'payments', source: 'payments', results: 'payments-verdicts', refractorySeconds: 300 },
      budgetPerMillion: undefined,
      lastHour: { events: 2000, alerts: 6, episodes: 4, rejected: 10 },
      ...{ openEpisodes: 2, takesFeedback: false, keys: 80, waiting: 10 },
      ...model,
      eventsPerSecond: 30,
      latencyMs: { median: 4, p95: 30 },
      rejected: [
        { reason: 'NoKey', count: 6 },
        { reason: 'InvalidTime', count: 5 },
      ],
      processes: { consumer: 2, inference: 1, api: 2 },
      health: { ...health, components: { kafka: { status: 'UP' }, consumers: { status: 'UP' } } },
    })
  })

  it('says what a consumer has to do without, and that none answers', () => {
    const away = pipelineOverview([consumer(), consumer({ redis: 'unreachable for 9 s' })], options)
    expect(away.health.status).to.equal('DEGRADED')
    expect(away.health.components.consumers).to.deep.equal({
      status: 'DOWN',
      details: { problem: 'unreachable for 9 s' },
    })
    const none = pipelineOverview([], options)
    expect(none.health.components.consumers?.details).to.deep.equal({ problem: 'none answers' })
    expect(none.modelVersion).to.equal('00000001')
    expect(none.latencyMs).to.equal(undefined)
  })

  it('says how the recorder is where the pipeline has one', () => {
    const history = { postgres: { urlSecretRef: { name: 'history', key: 'url' } } }
    const recorded = { ...options, pipeline: parsePipeline({ ...pipeline, spec: { ...pipeline.spec, history } }) }
    const recorder = (problem: string, records: number) => ({
      role: 'recorder' as const,
      status: { history: { problem, lag: { verdict: { records, seconds: 1 }, episode: { records: 1, seconds: 1 } } } },
    })
    const of = (...recorders: readonly ReturnType<typeof recorder>[]) =>
      pipelineOverview([consumer(), ...recorders], recorded).health.components.recorder
    expect(of(recorder('ok', 5), recorder('ok', 6))).to.deep.equal({ status: 'UP', details: { waiting: 13 } })
    expect(of(recorder('no connection', 5))).to.deep.equal({
      status: 'DOWN',
      details: { problem: 'no connection', waiting: 6 },
    })
    expect(of()).to.deep.equal({ status: 'DOWN', details: { problem: 'none answers' } })
  })

  it('takes nothing for granted in what a process answers', () => {
    const strange = [null, 7, 'x', [], { events: 'many', lag: 7, flow: { rejected: 1 }, redis: {} }]
    const overview = pipelineOverview(
      strange.map((status) => ({ role: 'consumer' as const, status })),
      options,
    )
    expect(overview).to.deep.include({ eventsPerSecond: 0, waiting: 0, rejected: [] })
    expect(overview.lastHour.events).to.equal(0)
  })
})
