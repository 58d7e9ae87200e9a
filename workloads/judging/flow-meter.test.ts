import { expect } from 'chai'
import type { Verdict } from '../detection/verdict.ts'
import { createFlowMeter } from './flow-meter.ts'
import type { Outcome, ProcessedBatch } from './processor.ts'

const verdict = { isAnomaly: false } as Verdict
const batchOf = (outcomes: readonly Outcome[], took: number, value = '{"bad": 1}'): ProcessedBatch => {
  const records = outcomes.map((_, offset) => ({ offset, key: null, value, timestamp: 0 }))
  const batch = { topic: 'events', partition: 0, records }
  return { batch, outcomes, events: [], published: [], episodes: [], given: 0, late: 0, began: 0, took }
}

describe('createFlowMeter()', () => {
  it('tells of the last ten seconds: events a second, and how long batches took', () => {
    let now = 1_000_000
    const meter = createFlowMeter(() => now)
    expect(meter.flow).to.deep.equal({ eventsPerSecond: 0, latencyMs: undefined, rejected: [] })
    for (let i = 0; i < 20; i++) {
      now += 1000
      meter.observe(batchOf(new Array(50).fill(verdict), i))()
    }
    expect(meter.flow.eventsPerSecond).to.equal(50)
    expect(meter.flow.latencyMs).to.deep.equal({ median: 14, p95: 18 })
    now += 10_000
    expect(meter.flow).to.deep.include({ eventsPerSecond: 0, latencyMs: undefined })
  })

  it('counts what was refused by reason in batches that took effect, most first, with the last of each', () => {
    const meter = createFlowMeter(() => 0)
    const rejection = (reason: 'InvalidTime' | 'MissingKey') => ({ reason, message: `${reason}!` })
    meter.observe(batchOf([rejection('InvalidTime'), verdict, rejection('MissingKey')], 1))()
    meter.observe(batchOf([rejection('MissingKey')], 1, `${'x'.repeat(1000)}`))()
    meter.observe(batchOf([rejection('MissingKey')], 1))
    expect(meter.flow.rejected).to.deep.equal([
      { reason: 'MissingKey', count: 2, message: 'MissingKey!', example: 'x'.repeat(500) },
      { reason: 'InvalidTime', count: 1, message: 'InvalidTime!', example: '{"bad": 1}' },
    ])
  })
})
