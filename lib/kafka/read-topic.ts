import { randomUUID } from 'node:crypto'
import { clientOf, connecting, type KafkaSettings, onCluster } from './client.ts'
import { KafkaError } from './errors.ts'
import { recordBatch } from './group.ts'
import type { KafkaBatch } from './records.ts'

/**
 * The committed records of a topic from its start to where it ended when this began, in the order of each partition. It
 * waits for transactions that are open there: the broker marks one as committed some time after it has answered.
 * For commands and tests: it joins a group of its own and commits nothing.
 */
export async function readTopic(
  settings: KafkaSettings,
  topic: string,
  onBatch: (batch: KafkaBatch) => void,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { signal } = options
  const left = await logEnds(settings, topic)
  if (left.size === 0) return

  const groupId = `anomaly-reader-${randomUUID()}`
  const consumer = clientOf(settings, connecting).consumer({
    groupId,
    maxWaitTimeInMs: 100,
    allowAutoTopicCreation: false,
  })
  const finish = Promise.withResolvers<void>()
  finish.promise.catch(() => {})
  const aborted = (): void => finish.reject(signal?.reason)
  consumer.on(consumer.events.CRASH, ({ payload }) => finish.reject(payload.error))
  // Comes for marks of transactions too, which no batch shows; a fetch that brought nothing ends in no event.
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { partition, lastOffset } }) => {
    if (Number(lastOffset) + 1 >= (left.get(partition) ?? 0)) left.delete(partition)
    if (left.size === 0) finish.resolve()
  })
  try {
    signal?.addEventListener('abort', aborted)
    signal?.throwIfAborted()
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 64,
      eachBatch: async ({ batch, heartbeat }) => {
        const end = left.get(batch.partition)
        if (end === undefined) return
        const { records, problem, ...rest } = recordBatch(batch)
        if (problem !== undefined) return finish.reject(new KafkaError('Other', problem))
        onBatch({ ...rest, records: records.filter(({ offset }) => offset < end) })
        await heartbeat()
      },
    })
    await finish.promise
  } finally {
    signal?.removeEventListener('abort', aborted)
    await consumer.disconnect().catch(() => {})
  }
}

/**
 * Where each partition that holds something ends. kafkajs' admin answers for a reader of committed records: an open
 * transaction hides all that is behind its start. It has no option for the isolation level, only the cluster that it makes.
 */
async function logEnds(settings: KafkaSettings, topic: string): Promise<Map<number, number>> {
  const kafka = clientOf(settings, connecting)
  onCluster(kafka, () => {}, { isolationLevel: readUncommitted })
  const admin = kafka.admin({ retry: connecting })
  try {
    await admin.connect()
    const offsets = await admin.fetchTopicOffsets(topic)
    return new Map(offsets.flatMap(({ partition, low, high }) => (low === high ? [] : [[partition, Number(high)]])))
  } finally {
    admin.disconnect().catch(() => {})
  }
}

const readUncommitted = 0
