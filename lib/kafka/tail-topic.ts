import { randomUUID } from 'node:crypto'
import { openAdmin } from './admin.ts'
import { clientOf, connecting, type KafkaSettings } from './client.ts'
import { KafkaError } from './errors.ts'
import { recordBatch } from './group.ts'
import type { KafkaBatch } from './records.ts'

export interface TopicTail {
  /** Ends where reading does: never before `stop`, unless the brokers go away for long. */
  readonly ended: Promise<void>
  stop(): Promise<void>
}

/**
 * The committed records of a topic as they come, from its end at the call or from its start. For commands: it joins a
 * group of its own and commits nothing. Once it is there, no record is missed.
 */
export async function tailTopic(
  settings: KafkaSettings,
  topic: string,
  onBatch: (batch: KafkaBatch) => void,
  options: { readonly from: 'Earliest' | 'Latest' },
): Promise<TopicTail> {
  const admin = openAdmin(settings)
  const offsets = await admin.topicOffsets(topic).finally(() => admin.close())
  const next = new Map(
    Array.from(offsets, ([partition, { low, high }]) => [partition, options.from === 'Latest' ? high : low]),
  )
  const consumer = clientOf(settings, connecting).consumer({
    groupId: `anomaly-tail-${randomUUID()}`,
    maxWaitTimeInMs: 100,
    allowAutoTopicCreation: false,
  })
  const ended = Promise.withResolvers<void>()
  ended.promise.catch(() => {})
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) ended.reject(payload.error)
  })
  const stop = async () => {
    await consumer.disconnect().catch(() => {})
    ended.resolve()
  }
  try {
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 64,
      eachBatch: async ({ batch }) => {
        const from = next.get(batch.partition) ?? 0
        const { records, problem, ...rest } = recordBatch(batch)
        if (problem !== undefined) return ended.reject(new KafkaError('Other', problem))
        const fresh = records.filter(({ offset }) => offset >= from)
        if (fresh.length === 0) return
        next.set(batch.partition, fresh.at(-1)!.offset + 1)
        onBatch({ ...rest, records: fresh })
      },
    })
    for (const [partition, offset] of offsets.size === 0 ? [] : next)
      consumer.seek({ topic, partition, offset: String(offset) })
  } catch (error) {
    await stop()
    throw error
  }
  return { ended: ended.promise, stop }
}
