import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Rejection } from '../wire/rejection.ts'
import { InputCheck } from './input-check.ts'
import { recordAt } from './input-record.ts'

function checkOf(event: object = {}) {
  const warnings: string[] = []
  const pipeline = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'test' },
    spec: { source: { brokers: ['localhost:9092'] }, event },
  })
  return { check: new InputCheck(pipeline, (line) => warnings.push(line)), warnings }
}

const recordOf = (row: number, body: object) => recordAt({ source: 'a.jsonl', row, line: row }, JSON.stringify(body))
const eventOf = (value: number) => ({ id: 'a', time: 0, key: 'u', value, features: [] })
const noKey: Rejection = { reason: 'MissingKey', field: 'userId', message: 'userId: the event has no key' }

describe('InputCheck', () => {
  it('warns once, as soon as it has seen a thousand events', () => {
    const { check, warnings } = checkOf({ value: 'amuont' })
    for (let row = 1; row < 1000; row++) check.judged(recordOf(row, { userId: 'u', amount: 1 }), eventOf(1))
    expect(warnings).to.deep.equal([])
    for (let row = 0; row < 10; row++) check.judged(recordOf(row, { userId: 'u', amount: 1 }), eventOf(1))
    check.finish()
    expect(warnings).to.deep.equal([
      'spec.event.value: amuont: 0 of the first 1000 events have it; did you mean amount?',
    ])
  })

  it('fails where all events were rejected, with an example a reason', () => {
    const { check } = checkOf({ id: '', time: '', features: '' })
    for (let row = 1; row < 4; row++) check.rejected(recordOf(row, { user: 'u', value: 1 }), noKey)
    check.rejected({ ...recordOf(4, {}), value: '{' }, { reason: 'MalformedJson', message: 'an end' })
    expect(() => check.finish())
      .to.throw(
        AppError,
        'nothing could be judged: looked for key: userId (did you mean user?), value: value; the events have user, value; MissingKey in row 1: userId: the event has no key; MalformedJson in row 4: an end',
      )
      .with.property('exitCode', 3)
    expect(check.rejectedBy).to.deep.equal(
      new Map([
        ['MissingKey', 3],
        ['MalformedJson', 1],
      ]),
    )
  })

  it('fails where no event had a number that the pipeline looks for, unless it looks for none', () => {
    const { check } = checkOf({ id: '', time: '', value: 'x' })
    check.judged(recordOf(1, { userId: 'u', y: 1 }), eventOf(Number.NaN))
    expect(() => check.finish()).to.throw(AppError, /; 1 events without a number$/)
    const { check: rhythm } = checkOf({ value: '', features: '' })
    rhythm.judged(recordOf(1, { userId: 'u' }), eventOf(Number.NaN))
    rhythm.finish()
  })

  it('is content with a single event, and with no input', () => {
    const { check } = checkOf()
    check.rejected(recordOf(1, {}), noKey)
    check.judged(recordOf(2, { userId: 'u', value: 0 }), eventOf(0))
    check.finish()
    checkOf().check.finish()
  })
})
