import type { TopicPartition } from './records.ts'
import { retryPassing } from './retry-passing.ts'

/** A member as the group's coordinator knows it since the last join. */
export interface Membership {
  readonly memberId: string
  readonly generationId: number
}

/** What kafkajs has no awaited hook for. It hangs on the assigner, the only object of ours that reaches a ConsumerGroup. */
export interface GroupEvents {
  /** Before every join and before leaving: what is owned now may be another's soon. The join waits for it. */
  leaving(): Promise<void>
  /** The position is not in the log any more, or not yet. `seek` says where to go on. */
  outOfRange(of: TopicPartition): Promise<void>
}
/** The group in which the member is; kafkajs' event of a join tells no generation. */
export interface HookedGroup extends GroupEvents {
  group?: ConsumerGroup
}
export const groupEvents = Symbol('events of the group')

export interface ConsumerGroup {
  readonly memberId: string | null
  readonly generationId: number | null
  readonly assigners: readonly { readonly [groupEvents]?: HookedGroup }[]
  joinAndSync(): Promise<void>
  leave(): Promise<void>
  recoverFromOffsetOutOfRange(error: TopicPartition): Promise<void>
}

export function hookConsumerGroup(group: ConsumerGroup): void {
  const { joinAndSync, leave, recoverFromOffsetOutOfRange } = group
  const eventsOf = (of: ConsumerGroup): HookedGroup | undefined => of.assigners[0]?.[groupEvents]
  group.joinAndSync = async function () {
    const events = eventsOf(this)
    if (events !== undefined) events.group = this
    await events?.leaving()
    // the stock one gives up where the coordinator asks for a moment
    await retryPassing(() => joinAndSync.call(this), { on: ['Coordinator'] })
  }
  group.leave = async function () {
    await eventsOf(this)?.leaving()
    await leave.call(this)
  }
  // the stock one commits "latest" or "earliest" in silence
  group.recoverFromOffsetOutOfRange = async function (error) {
    const events = eventsOf(this)
    if (events) await events.outOfRange({ topic: error.topic, partition: error.partition })
    else await recoverFromOffsetOutOfRange.call(this, error)
  }
}
