import type * as Kafkajs from 'kafkajs'
import { KafkaError } from './errors.ts'
import { partitionOf } from './partitioner.ts'
import type { OutgoingRecord } from './records.ts'

/** @throws KafkaError Missing: the topic was made anew with fewer partitions. kafkajs would leave the record out, and succeed. */
export function placing(): Kafkajs.ICustomPartitioner {
  return () =>
    ({ topic, partitionMetadata, message }) => {
      const count = partitionMetadata.length
      // remembered: a repeated send must not place the record anew
      message.partition ??= message.key == null ? 0 : partitionOf(message.key, count, 'Murmur2')
      if (message.partition < count) return message.partition
      throw new KafkaError('Missing', `Cannot send to ${topic}-${message.partition}: the topic has ${count} partitions`)
    }
}

/** As kafkajs wants it: one list a topic, objects of its own. */
export function byTopic(records: readonly OutgoingRecord[]): Kafkajs.TopicMessages[] {
  const topics = new Map<string, Kafkajs.Message[]>()
  for (const { topic, partition, key, value, headers } of records) {
    const message = { key, value, ...(partition === undefined ? {} : { partition }), ...(headers ? { headers } : {}) }
    const messages = topics.get(topic)
    if (messages === undefined) topics.set(topic, [message as Kafkajs.Message])
    else messages.push(message as Kafkajs.Message)
  }
  return Array.from(topics, ([topic, messages]) => ({ topic, messages }))
}
