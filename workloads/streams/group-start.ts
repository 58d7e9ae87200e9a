import type { KafkaAdmin } from '../../lib/kafka/admin.ts'
import type { OpenProducer } from '../../lib/kafka/transactional-producer.ts'
import type { Logger } from '../../lib/log.ts'
import { topicIdText } from './topic-id-text.ts'
import { transactionalId } from './transactional-id.ts'

export interface GroupStart {
  readonly topic: string
  readonly groupId: string
  readonly startFrom: 'Earliest' | 'Latest'
  readonly openProducer: OpenProducer
  readonly admin: Pick<KafkaAdmin, 'topicOffsets' | 'committedOffsets' | 'topicId'>
  readonly log: Logger
}

/** The start of a group is committed for all partitions at once, so that a later look finds all or none. */
export async function commitGroupStart(start: GroupStart): Promise<void> {
  const { topic, groupId, startFrom, openProducer, admin, log } = start
  const producer = await openProducer(transactionalId(groupId, topic, 'start'))
  try {
    const metadata = topicIdText(await admin.topicId(topic))
    const offsets = await admin.topicOffsets(topic)
    const committed = await admin.committedOffsets(groupId, topic)
    if (committed.size > 0 || offsets.size === 0) return
    const transaction = await producer.begin()
    const first = Array.from(offsets, ([partition, { low, high }]) => {
      return { topic, partition, offset: startFrom === 'Latest' ? high : low, metadata }
    })
    await transaction.sendOffsets(groupId, first)
    await transaction.commit()
    log.info({ groupId, topic, startFrom }, 'the group starts')
  } finally {
    producer.discard()
  }
}
