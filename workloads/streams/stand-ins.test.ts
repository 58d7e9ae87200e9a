import { expect } from 'chai'
import { standIns } from './stand-ins.ts'

const { tooLarge, unprocessable } = standIns('dead')
const of = { topic: 'events', partition: 3 }
const record = { offset: 7, key: 'alice', value: '{}', timestamp: 0, headers: { mine: 'kept' } }

describe('standIns', () => {
  it('publish a record that the handler fails on as it is, with the way to it', () => {
    expect(unprocessable(record, of, new Error('it broke'))).to.deep.equal({
      topic: 'dead',
      key: 'alice',
      value: '{}',
      headers: {
        mine: 'kept',
        'anomaly-reason': 'Unprocessable',
        'anomaly-message': 'Error: it broke',
        'anomaly-topic': 'events',
        'anomaly-partition': '3',
        'anomaly-offset': '7',
      },
    })
  })

  it('keep of a dead letter that is too large only its key and the way to the record', () => {
    const letter = unprocessable(record, of, new Error('it broke'))
    expect(tooLarge(letter)).to.deep.equal({
      topic: 'dead',
      key: 'alice',
      value: null,
      headers: {
        'anomaly-reason': 'TooLarge',
        'anomaly-message': 'the record with the reason for its rejection is larger than dead takes',
        'anomaly-topic': 'events',
        'anomaly-partition': '3',
        'anomaly-offset': '7',
      },
    })
  })
})
