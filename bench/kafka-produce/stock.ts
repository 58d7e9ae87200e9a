import { Kafka, logLevel, type Producer } from 'kafkajs'
import { begin, broker, committed, group, maxBytesPerPartition, results, source, verdictOf } from './loop.ts'

/** kafkajs as it comes: a transaction a batch, a producer a partition. */

process.removeAllListeners('warning')
const client = () => new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING })
const producers = new Map<number, Promise<Producer>>()
const producerOf = (partition: number): Promise<Producer> => {
  let producer = producers.get(partition)
  if (producer === undefined) {
    const created = client().producer({
      transactionalId: `${group}-${partition}`,
      idempotent: true,
      maxInFlightRequests: 1,
    })
    producer = created.connect().then(() => created)
    producers.set(partition, producer)
  }
  return producer
}

const consumer = client().consumer({ groupId: group, maxBytesPerPartition })
await consumer.connect()
await consumer.subscribe({ topic: source, fromBeginning: true })
await consumer.run({
  autoCommit: false,
  partitionsConsumedConcurrently: 4,
  eachBatch: async ({ batch }) => {
    begin()
    const transaction = await (await producerOf(batch.partition)).transaction()
    await transaction.send({
      topic: results,
      messages: batch.messages.map(({ key, value }) => ({ key, value: verdictOf(value!) })),
    })
    const partitions = [{ partition: batch.partition, offset: String(Number(batch.lastOffset()) + 1) }]
    await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic: source, partitions }] })
    await transaction.commit()
    committed(batch.messages.length)
  },
})
