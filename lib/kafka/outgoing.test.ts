import { expect } from 'chai'
import type { PartitionerArgs } from 'kafkajs'
import { KafkaError } from './errors.ts'
import { placing } from './outgoing.ts'

const topicOf = (partitions: number, message: object) =>
  ({
    topic: 'events',
    partitionMetadata: Array.from({ length: partitions }, (_, partitionId) => ({ partitionId })),
    message,
  }) as unknown as PartitionerArgs

describe('placing', () => {
  it('places a record once, however many partitions the topic has by then', () => {
    const place = placing()()
    const message = { key: '21', value: null }
    const first = place(topicOf(4, message))
    expect(place(topicOf(400, message))).to.equal(first)
  })

  it('throws where the topic has no such partition any more: kafkajs would succeed without the record', () => {
    const place = placing()()
    expect(() => place(topicOf(2, { key: 'a', value: null, partition: 2 })))
      .to.throw(KafkaError, 'Cannot send to events-2: the topic has 2 partitions')
      .with.property('failure', 'Missing')
  })
})
