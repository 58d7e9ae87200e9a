import { expect } from 'chai'
import { parsePipeline } from '../../../lib/pipeline/parse-pipeline.ts'
import { recordAt } from '../../files/input-record.ts'
import { injectAnomalies, injectedLabel } from './injected-sample.ts'
import type { SampledEvent } from './sample.ts'

const { event: mapping } = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'test' },
  spec: { source: { brokers: ['localhost:9092'] }, event: { value: 'reading.value' } },
}).spec

/** `length` events of each key, in turn. */
function eventsOf(keys: number, length: number): SampledEvent[] {
  return Array.from({ length: keys * length }, (_, i) => {
    const [key, value, a] = [`u${i % keys}`, 50 + ((i * 7) % 13), (i * 5) % 11]
    const body = { reading: { value, unit: 'C' }, features: { a, still: 1 } }
    const record = { ...recordAt({ source: 's', row: i + 1, line: i + 1 }, null), body }
    return { record, event: { id: `${i}`, time: 60_000 * i, key, value, features: [a, 1] } }
  })
}

describe('injectAnomalies()', () => {
  const features = ['a', 'still']

  it('changes fields that vary, in the second half of histories, and labels just that', () => {
    const events = eventsOf(10, 1200)
    const { rows, injected } = injectAnomalies({ events, features }, mapping, { wanted: 10, seed: 1 })
    expect(injected).to.equal(10)
    let changed = 0
    for (const [i, { body }] of rows.entries()) {
      const { [injectedLabel]: label, ...rest } = body as Record<string, unknown>
      if (label === 0) expect(rest).to.deep.equal(events[i]!.record.body)
      else {
        changed++
        expect(i).to.be.at.least(6000)
        expect(rest).to.have.nested.property('reading.unit', 'C')
        expect(rest).to.have.nested.property('features.still', 1)
      }
    }
    expect(changed).to.be.within(10, 1200)
    expect(events[0]!.record.body).to.have.all.keys('reading', 'features')
  })

  it('is the same of the same seed, and another of another', () => {
    const events = eventsOf(30, 100)
    const bodies = (seed: number) =>
      injectAnomalies({ events, features }, mapping, { wanted: 20, seed }).rows.map(({ body }) => body)
    expect(bodies(1)).to.deep.equal(bodies(1))
    expect(bodies(1)).to.not.deep.equal(bodies(2))
  })

  it('puts nothing where there is no history', () => {
    expect(injectAnomalies({ events: eventsOf(50, 10), features }, mapping, { wanted: 20, seed: 1 }).injected).to.equal(
      0,
    )
  })
})
