import { Kafka, logLevel } from 'kafkajs'
import { begin, broker, committed, group, source } from '../kafka-produce/loop.ts'

/** kafkajs as it comes, reading and parsing only. */

process.removeAllListeners('warning')
const consumer = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).consumer({ groupId: group })
await consumer.connect()
await consumer.subscribe({ topic: source, fromBeginning: true })
await consumer.run({
  autoCommit: false,
  partitionsConsumedConcurrently: 4,
  eachBatch: async ({ batch }) => {
    begin()
    for (const { value } of batch.messages) JSON.parse(value!.toString())
    committed(batch.messages.length)
  },
})
