import { expect } from 'chai'
import { createManualClock } from '../../lib/manual-clock.ts'
import { createReportReader, mergeReports } from './pod-reports.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const pod = (podIP: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: podIP },
  status: { podIP, phase: 'Running' },
})

describe('mergeReports', () => {
  it('takes the model of most rows and the share of all events that were alerted', () => {
    const inferences = [
      { modelVersion: 'v1', modelRows: 5000 },
      { modelVersion: 'v2', modelRows: 9000 },
    ]
    expect(
      mergeReports(
        [
          { events: 90_000, alerts: 90 },
          { events: 10_000, alerts: 60 },
        ],
        inferences,
      ),
    ).to.deep.equal({
      model: { version: 'v2', rows: 9000 },
      alertsPerMillion: 1500,
    })
  })

  it('knows a first model that is learning from pods that say nothing', () => {
    expect(mergeReports([], [{ modelVersion: 'LEARNING', modelRows: 0 }])).to.deep.equal({ model: null })
    expect(mergeReports([{}, null, 'x'], [{}])).to.deep.equal({})
  })

  it('takes no rate from a handful of events, as right after a restart', () => {
    expect(mergeReports([{ events: 20, alerts: 1 }], [])).to.deep.equal({})
    expect(mergeReports([{ events: 1000, alerts: 1 }], [])).to.deep.equal({ alertsPerMillion: 1000 })
  })

  it('passes on nothing that the API server would refuse in a status', () => {
    const model = { modelVersion: 'v'.repeat(200), modelRows: -1, modelFitTime: 'yesterday' }
    expect(mergeReports([], [model])).to.deep.equal({ model: { version: 'v'.repeat(128) } })
    const fitTime = '2025-06-01T12:00:00.000Z'
    expect(mergeReports([], [{ ...model, modelFitTime: fitTime }]).model).to.include({ fitTime })
  })
})

describe('createReportReader', () => {
  it('tells of changes only, and of pods that answer whatever others do', async () => {
    const clock = createManualClock()
    const changed: string[] = []
    const asked: string[] = []
    const reader = createReportReader({
      log: silent,
      clock,
      random: () => 0.5,
      changed: (key) => changed.push(key),
      podsOf: (_, component) => (component === 'inference' ? [pod('10.0.0.1'), pod('fd00::1')] : []),
      async askPod(address) {
        asked.push(address)
        if (address.includes('10.0.0.1')) throw new Error('refused')
        return JSON.stringify({ modelVersion: 'v1', modelRows: 7 })
      },
    })
    reader.follow('shop/payments', true)
    for (const ms of [10_000, 60_000, 60_000]) {
      await clock.advance(ms)
      await new Promise((resolve) => setImmediate(resolve))
    }
    reader.stop()
    expect(asked.slice(0, 2)).to.deep.equal(['http://10.0.0.1:9090/status', 'http://[fd00::1]:9090/status'])
    expect(asked.length).to.be.greaterThan(2)
    expect(changed).to.deep.equal(['shop/payments'])
  })

  it('keeps what was told by pods that do not answer at the moment', async () => {
    const clock = createManualClock()
    let answers = true
    const reader = createReportReader({
      log: silent,
      clock,
      random: () => 0.5,
      changed() {},
      podsOf: (_, component) => [pod(component === 'inference' ? '10.0.0.1' : '10.0.0.2')],
      async askPod(address) {
        if (address.includes('10.0.0.2')) return JSON.stringify({ events: 5000, alerts: answers ? 5 : 10 })
        if (!answers) throw new Error('refused')
        return JSON.stringify({ modelVersion: 'v1' })
      },
    })
    reader.follow('shop/payments', true)
    await clock.advance(10_000)
    await new Promise((resolve) => setImmediate(resolve))
    expect(reader.read('shop/payments')).to.deep.equal({ model: { version: 'v1' }, alertsPerMillion: 1000 })
    answers = false
    await clock.advance(60_000)
    await new Promise((resolve) => setImmediate(resolve))
    expect(reader.read('shop/payments')).to.deep.equal({ model: { version: 'v1' }, alertsPerMillion: 2000 })
    reader.stop()
  })
})
