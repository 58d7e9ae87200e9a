import { expect } from 'chai'
import { deadLetterHeaders } from './dead-letter.ts'

const cause = { reason: 'MalformedJson', message: 'no JSON', topic: 'events', partition: 3, offset: 17 }
const ours = {
  'anomaly-reason': 'MalformedJson',
  'anomaly-message': 'no JSON',
  'anomaly-topic': 'events',
  'anomaly-partition': '3',
  'anomaly-offset': '17',
}

describe('deadLetterHeaders', () => {
  it('says why and where from', () => {
    expect(deadLetterHeaders(undefined, cause)).to.deep.equal(ours)
  })

  it('leaves every header of the record as it is, also reason, message, topic, partition and offset', () => {
    const original = { reason: 'refund', message: null, topic: 'a', partition: ['x', 'y'], offset: Buffer.from([0]) }
    expect(deadLetterHeaders(original, cause)).to.deep.equal({ ...original, ...ours })
  })

  it('puts ours after what a record brings under the same name, such as a dead letter that was sent again', () => {
    const once = deadLetterHeaders({ 'anomaly-offset': null }, cause)
    const twice = deadLetterHeaders(once, { ...cause, offset: 18 })
    expect(twice['anomaly-offset']).to.deep.equal([null, '17', '18'])
    expect(twice['anomaly-reason']).to.deep.equal(['MalformedJson', 'MalformedJson'])
  })
})
