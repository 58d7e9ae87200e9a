import { AppError } from '../../lib/errors.ts'
import type { KafkaAdmin } from '../../lib/kafka/admin.ts'
import type { Membership } from '../../lib/kafka/consumer-group-hooks.ts'
import type { TopicPartition } from '../../lib/kafka/records.ts'
import type {
  CommittedOffset,
  OpenProducer,
  Transaction,
  TransactionalProducer,
} from '../../lib/kafka/transactional-producer.ts'
import type { Logger } from '../../lib/log.ts'
import type { Clock } from '../../lib/time.ts'
import type { PartitionHandler } from './partition-handler.ts'
import { topicIdIn, topicIdText } from './topic-id-text.ts'
import { formerTransactionalId, transactionalId } from './transactional-id.ts'

export interface Group {
  readonly groupId: string
  /** No earlier version can be a member. */
  readonly isNew: boolean
}

export interface PartitionOptions {
  readonly group: () => Group
  readonly handler: PartitionHandler
  readonly openProducer: OpenProducer
  readonly admin: Pick<KafkaAdmin, 'topicOffsets' | 'committedOffsets' | 'topicId'>
  readonly startFrom: 'Earliest' | 'Latest'
  readonly onTopicRemade: (of: TopicPartition) => void
  readonly clock: Clock
  readonly log: Logger
}

/** What is committed says of which topic it is, and which member of the group does so. */
export interface Owner {
  readonly topicId: string | undefined
  readonly membership: Membership | undefined
}

/** With the topic that was read so far, as far as is known. */
export interface Opening extends Owner {
  readonly signal: AbortSignal
  /** A step is done. */
  readonly onward: () => void
  /** Up to here the group has committed; undefined where it has nothing, or nothing of the topic that was read so far. */
  readonly committedUpTo: (offset: number | undefined) => void
}

export interface OpenedPartition {
  readonly producer: TransactionalProducer
  /** Where to go on. */
  readonly start: number
  readonly topicId: string | undefined
  /** It is not the topic that was read so far, or that the group has committed offsets of. */
  readonly isOther: boolean
}

/** Takes a partition: fence, epoch, offset, in this order. */
export async function openPartition(
  of: TopicPartition,
  options: PartitionOptions,
  opening: Opening,
): Promise<OpenedPartition> {
  const { handler, openProducer, admin } = options
  const { signal, committedUpTo } = opening
  const onward = (): void => {
    signal.throwIfAborted()
    opening.onward()
  }
  const { groupId, isNew } = options.group()
  if (!isNew) (await openProducer(formerTransactionalId(groupId, of.topic, of.partition))).discard()
  const producer = await openProducer(transactionalId(groupId, of.topic, of.partition))
  try {
    onward()
    await handler.assigned(of, signal)
    onward()
    const topicId = await admin.topicId(of.topic)
    onward()
    const committed = (await admin.committedOffsets(groupId, of.topic)).get(of.partition)
    onward()
    const committedId = committed === undefined ? undefined : topicIdIn(committed.metadata)
    const isOther = (id: string | undefined): boolean => id !== undefined && topicId !== undefined && id !== topicId
    const [wasOther, isCommitOther] = [isOther(opening.topicId), isOther(committedId)]
    // What another owner has committed for the new topic says nothing of a commit of ours for the former one.
    committedUpTo(wasOther && !isCommitOther ? undefined : committed?.offset)
    const commitFirst = (startFrom: 'Earliest' | 'Latest') =>
      commitStart(of, startFrom, options, { producer, topicId, membership: opening.membership })
    let start: number
    if (committed !== undefined && !isCommitOther) start = committed.offset
    // With a topic Kafka forgets what groups have committed for it.
    else if (committed === undefined && !wasOther) start = await commitFirst('Earliest')
    else {
      const { startFrom, onTopicRemade, log } = options
      start = await commitFirst(startFrom)
      onTopicRemade(of)
      log.warn(
        { ...of, former: wasOther ? opening.topicId : committedId, topicId, startFrom, offset: start },
        'the topic was deleted and made anew: it is another one',
      )
    }
    signal.throwIfAborted()
    return { producer, start, topicId, isOther: wasOther || isCommitOther }
  } catch (error) {
    producer.discard()
    throw error
  }
}

/** A partition that has nothing committed, or whose topic is another one, begins. */
async function commitStart(
  of: TopicPartition,
  startFrom: 'Earliest' | 'Latest',
  { admin, group, log }: PartitionOptions,
  { producer, ...owner }: Owner & { readonly producer: TransactionalProducer },
): Promise<number> {
  const offsets = (await admin.topicOffsets(of.topic)).get(of.partition)
  if (offsets === undefined) throw new AppError('NotFound', `Cannot find partition ${of.partition} of ${of.topic}`)
  const offset = startFrom === 'Latest' ? offsets.high : offsets.low
  const transaction = await producer.begin()
  await sendOffset(transaction, group().groupId, { ...of, offset }, owner)
  await transaction.commit()
  log.info({ ...of, offset }, 'a partition begins')
  return offset
}

export function sendOffset(
  transaction: Transaction,
  groupId: string,
  offset: CommittedOffset,
  { topicId, membership }: Owner,
): Promise<void> {
  return transaction.sendOffsets(groupId, [{ ...offset, metadata: topicIdText(topicId) }], { membership })
}
