import type { StreamRecord, TopicPartition } from '../../lib/kafka/records.ts'
import type { StreamHandler } from '../streams/stream.ts'
import { deadLetterHeaders } from '../wire/dead-letter.ts'
import { episodeOf } from './episode-record.ts'
import type { Message } from './message.ts'
import type { Notifier } from './notifier.ts'

export interface NotifierHandlerOptions {
  readonly notifier: Notifier
  /** Several may share the topic. */
  readonly pipeline: string
  readonly deadLetterTopic: string
  /** Next offset of the partition that is to be told; undefined where nothing is committed. */
  readonly committed: (partition: number) => Promise<number | undefined>
  /** The committed records of a partition from one offset up to, not with, another. */
  readonly read: (
    partition: number,
    offsets: { readonly from: number; readonly until: number },
    onRecord: (record: StreamRecord) => void,
  ) => Promise<void>
}

/** So many records before the next one say what was told before. */
const lookBack = 10_000

/**
 * Tells the episodes of a topic. An offset is committed behind what was delivered, with a dead letter for what was given
 * up; whatever comes again after a kill has the ids that it had.
 */
export function notifierHandler(options: NotifierHandlerOptions): StreamHandler {
  const { notifier, pipeline, deadLetterTopic, committed, read } = options
  /** Offset up to which what was told is known, by partition: committed, and with what is in work. */
  const known = new Map<number, number>()
  const staged = new Map<number, number>()

  async function catchUp(partition: number): Promise<void> {
    notifier.of(partition).rollback()
    const until = await committed(partition)
    let from = known.get(partition)
    if (until === undefined || (from !== undefined && from > until)) {
      notifier.forget(partition)
      from = undefined
    }
    if (until === undefined) return
    const told = notifier.of(partition)
    await read(partition, { from: from ?? Math.max(0, until - lookBack), until }, (record) => {
      const episode = episodeOf(record, pipeline)
      if (episode !== undefined) told.take(episode, record.timestamp)
    })
    told.commit()
    known.set(partition, until)
  }

  const deadLetter = (record: StreamRecord, of: TopicPartition, message: string) => ({
    topic: deadLetterTopic,
    key: record.key,
    value: record.value,
    headers: {
      ...deadLetterHeaders(record.headers, { ...of, offset: record.offset, reason: 'NotDelivered', message }),
      'anomaly-receiver': notifier.name,
    },
  })

  return {
    assigned: catchUp,
    async batch({ topic, partition, records }, signal) {
      const told = notifier.of(partition)
      const messages: Message[] = []
      const sources: StreamRecord[] = []
      for (const record of records) {
        const episode = episodeOf(record, pipeline)
        const message = episode === undefined ? undefined : told.take(episode, record.timestamp)
        if (message === undefined) continue
        messages.push(message)
        sources.push(record)
      }
      staged.set(partition, (records.at(-1)?.offset ?? -1) + 1)
      if (messages.length === 0) return []
      const failures = await notifier.tell(messages, signal)
      signal?.throwIfAborted()
      return failures.flatMap((failure, i) =>
        failure === undefined ? [] : deadLetter(sources[i]!, { topic, partition }, failure),
      )
    },
    committed(partition) {
      notifier.of(partition).commit()
      known.set(partition, staged.get(partition) ?? 0)
    },
    dropped: (partition) => notifier.of(partition).rollback(),
    async releasing() {},
    revoked(partition) {
      notifier.forget(partition)
      known.delete(partition)
    },
  }
}
