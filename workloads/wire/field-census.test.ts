import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { FieldCensus } from './field-census.ts'

function censusOf(event: object, bodies: readonly unknown[], detection: object = {}): FieldCensus {
  const census = new FieldCensus(
    parsePipeline({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'test' },
      spec: { source: { brokers: ['localhost:9092'] }, event, detection },
    }),
  )
  for (const body of bodies) census.add(body)
  return census
}

const rows = (count: number, row: object = { time: 1, user: 'u', cpu: 2 }) => Array.from({ length: count }, () => row)

describe('FieldCensus', () => {
  it('says of a field that nearly no event has which was meant', () => {
    const event = { id: '', time: 'tmie', key: 'user', value: 'cpuu', features: '' }
    expect(censusOf(event, rows(1200)).warnings()).to.deep.equal([
      'spec.event.time: tmie: 0 of the first 1000 events have it; did you mean time?',
      'spec.event.value: cpuu: 0 of the first 1000 events have it; did you mean cpu?',
    ])
  })

  it('names what was seen where nothing is alike', () => {
    const event = { id: '', time: '', key: 'user', value: 'temperature', features: '' }
    expect(censusOf(event, rows(3)).warnings()).to.deep.equal([
      'spec.event.value: temperature: 0 of the first 3 events have it; the events have time, user, cpu',
    ])
  })

  it('is silent where one in a hundred has it, and of defaults that nothing is alike', () => {
    const mixed = [...rows(990, { userId: 'u' }), ...rows(10, { userId: 'u', amount: 1 })]
    expect(censusOf({ value: 'amount' }, mixed).warnings()).to.deep.equal([])
    expect(censusOf({ value: 'amount' }, mixed.slice(0, 999)).warnings()).to.have.length(1)
    expect(censusOf({}, rows(10, { userId: 'u', values: 3 })).warnings()).to.deep.equal([
      'spec.event.value: value: 0 of the first 10 events have it; did you mean values?',
    ])
  })

  it('looks for features and the fields of rules, by pattern and in objects', () => {
    const event = { id: '', time: '', key: '', value: '', featureFields: ['cpu.usr', 'disk.*', 'x*'] }
    const body = { cpu: { user: 1 }, disk: { read: 2 }, x1: 3 }
    const rules = [{ name: 'hot', field: 'cpu.usre', above: '1' }]
    expect(censusOf(event, rows(5, body), { rules }).warnings()).to.deep.equal([
      'spec.event.featureFields: cpu.usr: 0 of the first 5 events have it; did you mean cpu.user?',
      'spec.detection.rules hot: cpu.usre: 0 of the first 5 events have it; did you mean cpu.user?',
    ])
  })

  it('tells names looked for and names seen in a line', () => {
    const census = censusOf({ id: '', time: 'ts', key: 'k', value: 'v', features: '' }, rows(1, { a: { b: 1 }, c: 2 }))
    expect(census.summary()).to.equal('looked for time: ts, key: k, value: v; the events have a.b, c')
    const wide = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`${'x'.repeat(500)}${i}`, i]))
    expect(censusOf({}, [wide]).summary().length).to.be.below(2000)
    expect(censusOf({}, [7, null, [1]]).warnings()).to.deep.equal([])
  })
})
