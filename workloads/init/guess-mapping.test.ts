import { expect } from 'chai'
import { parse } from 'yaml'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { type InputRecord, recordAt } from '../files/input-record.ts'
import { guessMapping } from './guess-mapping.ts'
import { pipelineText } from './pipeline-text.ts'

const place = { source: 'events', row: 1, line: 1 }
const jsonRows = (count: number, row: (i: number) => object): readonly InputRecord[] =>
  Array.from({ length: count }, (_, i) => recordAt(place, JSON.stringify(row(i))))
const csvRows = (count: number, row: (i: number) => Record<string, string>): readonly InputRecord[] =>
  Array.from({ length: count }, (_, i) => ({ ...recordAt(place, ''), body: row(i), text: 'Point' }))

const nothing = { id: undefined, features: undefined, featureFields: [], labels: [], others: [] }

describe('guessMapping()', () => {
  it('knows the fields of the usual event', () => {
    const rows = jsonRows(50, (i) => ({
      eventId: `e${i}`,
      timestamp: 1640000000 + i,
      userId: `u${i % 7}`,
      value: i / 3,
      currency: 'EUR',
      features: { a: i, b: -i },
    }))
    expect(guessMapping(rows)).to.deep.equal({
      ...nothing,
      id: 'eventId',
      time: 'timestamp',
      key: 'userId',
      value: 'value',
      features: 'features',
      others: ['currency'],
    })
  })

  it('tells the columns of a CSV apart by their names and contents', () => {
    const rows = csvRows(60, (i) => ({
      when: `2024-01-01 00:${String(i).padStart(2, '0')}:00`,
      host: `h${i % 3}`,
      cpu: String(i / 7),
      mem: i % 9 === 0 ? 'NaN' : String(i),
      note: 'free text',
      label: i % 20 === 0 ? '1' : '0',
    }))
    expect(guessMapping(rows)).to.deep.equal({
      ...nothing,
      time: 'when',
      key: 'host',
      value: 'cpu',
      featureFields: ['mem'],
      labels: ['label'],
      others: ['note'],
    })
  })

  it('finds fields in objects, and takes none of a name that no path can have', () => {
    const rows = jsonRows(20, (i) => ({
      meta: { at: new Date(1.7e12 + i * 1000).toISOString() },
      device: { id: i % 4 },
      load: { one: i },
      'a*b': i,
      $x: i,
    }))
    expect(guessMapping(rows)).to.deep.equal({
      ...nothing,
      time: 'meta.at',
      key: 'device.id',
      value: 'load.one',
    })
  })

  it('guesses nothing where there is nothing', () => {
    const none = { ...nothing, time: undefined, key: undefined, value: undefined }
    expect(guessMapping([])).to.deep.equal(none)
    expect(guessMapping([recordAt(place, '[1]'), recordAt(place, '{')])).to.deep.equal(none)
  })
})

describe('pipelineText()', () => {
  it('is a pipeline, whatever was guessed', () => {
    const names = ['value', ' spaced name', 'a: b', 'yes', '#x', 'Flow Bytes/s', '"quoted"', 'ü', '1e3', 'null']
    for (const name of names) {
      const mapping = { ...nothing, id: name, time: name, key: name, value: name, featureFields: names, labels: names }
      const text = pipelineText({ name: 'test', source: 'events.csv', rows: 7, mapping: { ...mapping, others: names } })
      const { event } = parsePipeline(parse(text)).spec
      expect(event).to.include({ id: name, time: name, key: name, value: name })
      expect(event.featureFields).to.deep.equal(names)
    }
    const empty = { ...nothing, time: undefined, key: undefined, value: undefined }
    const { event } = parsePipeline(parse(pipelineText({ name: 'n', source: '-', rows: 0, mapping: empty }))).spec
    expect(event).to.deep.include({ id: '', time: '', key: '', value: '', features: '' })
  })
})
