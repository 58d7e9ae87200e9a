import { expect } from 'chai'
import { exactnessOf, isExact } from './exactness.ts'
import { recordOf } from './java-reader.ts'

const record = (offset: number, value: string, partition = 0) => ({
  partition,
  offset,
  headers: new Map(),
  key: 'k',
  value,
})
const event = (offset: number, id: string) => record(offset, JSON.stringify({ eventId: id }))
const verdict = event

describe('exactnessOf', () => {
  const events = [event(0, 'a'), event(1, 'b'), record(2, '{'), event(3, 'c')]
  const letter = {
    ...record(0, '{'),
    headers: new Map([
      ['anomaly-partition', '0'],
      ['anomaly-offset', '2'],
    ]),
  }

  it('is given where each event has one verdict or one dead letter, in order', () => {
    const verdicts = [verdict(0, 'a'), verdict(1, 'b'), verdict(2, 'c')]
    const exactness = exactnessOf(events, verdicts, [letter])
    expect([isExact(exactness), exactness.events]).to.deep.equal([true, 4])
  })

  it('counts what is missing, doubled, invented and out of order', () => {
    const verdicts = [verdict(0, 'b'), verdict(1, 'a'), verdict(2, 'a'), verdict(3, 'ghost')]
    expect(exactnessOf(events, verdicts, [letter, letter])).to.deep.include({
      missing: 1,
      doubled: 2,
      invented: 1,
      disordered: 1,
    })
  })
})

describe('recordOf', () => {
  it('reads a line of the console consumer', () => {
    const line = 'Partition:3\u0001Offset:17\u0001a:1\u0002b:x:y\u0001key\u0001{"a":1}'
    expect(recordOf(line)).to.deep.equal({
      partition: 3,
      offset: 17,
      headers: new Map([
        ['a', '1'],
        ['b', 'x:y'],
      ]),
      key: 'key',
      value: '{"a":1}',
    })
  })
})
