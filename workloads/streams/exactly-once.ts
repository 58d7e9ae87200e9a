import { AppError, messageOf } from '../../lib/errors.ts'
import { type KafkaAdmin, openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { currentGroup } from '../../lib/kafka/current-group.ts'
import { type GroupMember, joinGroup, type MemberEvents, type MemberOptions } from '../../lib/kafka/group.ts'
import type { TopicPartition } from '../../lib/kafka/records.ts'
import { type OpenProducer, transactionalProducers } from '../../lib/kafka/transactional-producer.ts'
import type { Logger } from '../../lib/log.ts'
import { backoff, type Clock, sleep, systemClock } from '../../lib/time.ts'
import { commitGroupStart } from './group-start.ts'
import { retry } from './lane.ts'
import { Lanes } from './lanes.ts'
import type { Group } from './open-partition.ts'
import type { PartitionHandler } from './partition-handler.ts'
import { type Part, type Problem, parts } from './problem.ts'
import { Pulse } from './pulse.ts'
import { aborted, every, isDoneWithin } from './waits.ts'

export interface ExactlyOnceOptions {
  readonly topic: string
  readonly groupId: string
  /** What the group was called before: it is kept where it has committed offsets, and `groupId` has none. */
  readonly formerGroupId?: string | undefined
  /** Where a group without any committed offset starts. Partitions that appear later start at their first record. */
  readonly startFrom: 'Earliest' | 'Latest'
  readonly handler: PartitionHandler
  /** Records between `from` and `to` are not in the log any more (or, with `to` below `from`, the topic is another one). */
  readonly onOffsetLost: (of: TopicPartition, lost: { readonly from: number; readonly to: number }) => void
  /** The topic was deleted and made anew: its partition begins at `startFrom`. */
  readonly onTopicRemade?: ((of: TopicPartition) => void) | undefined
  readonly maxRecords?: number | undefined
  /** Of a fetch of one partition, which becomes one transaction. */
  readonly maxBytesPerPartition?: number | undefined
  /** Of one produce request; below the broker's `message.max.bytes` (1,048,588). */
  readonly maxSendBytes?: number | undefined
  readonly sessionTimeoutMs?: number | undefined
  /** New partitions are seen after it. */
  readonly metadataMaxAgeMs?: number | undefined
  /** Offsets are kept where they may be set back, together with what was done: a database restored from a backup. */
  readonly offsetsGoBack?: boolean | undefined
  /** Least time from the begin of a partition's transaction to that of its next: sooner, the broker makes it wait longer. */
  readonly spacingMs?: number | undefined
}

export interface ExactlyOnce {
  /** Owns its partitions and reads, as far as it knows. */
  ready(): boolean
  /** Why not; undefined when ready. */
  problem(): Problem | undefined
  /** What is wrong with one part, in words, whatever is wrong with others. */
  problemOf(part: Part): string | undefined
  /** When the loop last turned, or the batch that it waits for last made progress; by the monotonic clock. For liveness. */
  polledAt(): number
  /** To be called by a handler that waits for something with good reason: it is not stuck. */
  waiting(): void
  /** Records known to wait, by owned partition. */
  lag(): ReadonlyMap<number, number>
  /** Ends the batch in work, commits, releases, leaves; within some seconds, whatever does not answer. */
  stop(): Promise<void>
}

/** What the protocol stands on. */
export interface ExactlyOnceClients {
  readonly openProducer: OpenProducer
  readonly admin: Pick<KafkaAdmin, 'topicOffsets' | 'committedOffsets' | 'topicId' | 'close'>
  readonly joinGroup: (options: MemberOptions, events: MemberEvents) => Promise<GroupMember>
  readonly clock: Clock
  readonly log: Logger
}

/** For the batch in work and for leaving the group. */
const stopTimeoutMs = 8000
const stallMs = 45_000
const logEndsMs = 5000
/** A member that lived for so long was not at fault: its successor need not wait. */
const longLifeMs = 60_000

/**
 * Reads a topic as a member of a group and publishes what the handler makes of it, so that each record has its effect
 * once: results and offsets commit in one transaction a fetch and partition. Runs until stopped: whatever fails is
 * tried again, with a delay. docs/decisions/0009-exactly-once-protocol.md says what makes it exact.
 */
export function runExactlyOnce(settings: KafkaSettings, options: ExactlyOnceOptions): ExactlyOnce {
  const loop = new ExactlyOnceLoop(
    {
      openProducer: transactionalProducers(settings),
      admin: openAdmin(settings, { timeoutMs: 15_000 }),
      joinGroup: (member, events) => joinGroup(settings, member, events),
      clock: systemClock,
      log: settings.log,
    },
    options,
  )
  loop.start()
  return loop
}

/** Members of the group, one after the other: where one ends or stands still, the next one is made. */
export class ExactlyOnceLoop implements ExactlyOnce {
  readonly #clients: ExactlyOnceClients
  readonly #options: ExactlyOnceOptions
  readonly #stopping = new AbortController()
  readonly #pulse: Pulse
  readonly #lanes: Lanes
  #member: GroupMember | undefined
  /** Known when the first member is made. */
  #group: Group = { groupId: '', isNew: false }
  #hasStarted = false
  /** Why there is no member, in words. */
  #ended: string | undefined
  #lives = 0
  #looping: Promise<void> = Promise.resolve()
  #unwatch = (): void => {}

  constructor(clients: ExactlyOnceClients, options: ExactlyOnceOptions) {
    const { maxRecords = 2000, maxSendBytes = 768 * 1024, spacingMs = 20, offsetsGoBack = false } = options
    const { handler, onOffsetLost, startFrom, onTopicRemade = () => {} } = options
    this.#clients = clients
    this.#options = options
    this.#pulse = new Pulse(clients.clock)
    this.#lanes = new Lanes({
      ...clients,
      ...{ handler, onOffsetLost, startFrom, onTopicRemade, maxRecords, maxSendBytes, spacingMs, offsetsGoBack },
      group: () => this.#group,
      pulse: this.#pulse,
      stopping: this.#stopping.signal,
      seek: (of, offset) => this.#member?.seek(of, offset),
    })
  }

  start(): void {
    this.#looping = this.#loop()
    this.#unwatch = every(logEndsMs, () => this.#lookAtLogEnds(), this.#clients.clock)
  }

  /** What waits is known also while nothing can be fetched, or nothing moves. */
  async #lookAtLogEnds(): Promise<void> {
    try {
      const ends = await this.#clients.admin.topicOffsets(this.#options.topic)
      for (const lane of this.#lanes.values()) lane.logEnd = ends.get(lane.of.partition)?.high ?? lane.logEnd
    } catch (error) {
      this.#clients.log.debug({ error: messageOf(error) }, 'the ends of the log are not known')
    }
  }

  ready(): boolean {
    return this.problem() === undefined
  }

  problem(): Problem | undefined {
    for (const part of parts) {
      const message = this.problemOf(part)
      if (message !== undefined) return { part, message }
    }
    return undefined
  }

  problemOf(part: Part): string | undefined {
    const whole = part === 'kafka' ? this.#problemOfMember() : undefined
    if (whole !== undefined) return whole
    for (const { of, problem } of this.#lanes.values())
      if (problem?.part === part) return `${of.topic}-${of.partition}: ${problem.message}`
    return undefined
  }

  #problemOfMember(): string | undefined {
    if (this.#stopping.signal.aborted) return 'stopping'
    if (this.#ended !== undefined) return this.#ended
    if (this.#lanes.isReading) return this.#pulse.problem()
    const isExplained = [...this.#lanes.values()].some(({ problem }) => problem !== undefined)
    return isExplained ? undefined : 'joining the group'
  }

  /** While a batch is in work, nothing is fetched: what counts is that it gets on. */
  polledAt(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const { movedAt } of this.#lanes.values()) if (movedAt !== undefined) oldest = Math.min(oldest, movedAt)
    return oldest === Number.POSITIVE_INFINITY ? this.#pulse.turnedAt : oldest
  }

  waiting(): void {
    for (const lane of this.#lanes.values()) lane.moved()
  }

  lag(): ReadonlyMap<number, number> {
    return new Map(Array.from(this.#lanes.values(), ({ of, lag }) => [of.partition, lag]))
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#unwatch()
    await this.#lanes.close(() => isDoneWithin(stopTimeoutMs, this.#looping, this.#clients.clock))
    this.#clients.admin.close()
  }

  async #loop(): Promise<void> {
    const { clock, log } = this.#clients
    const { signal } = this.#stopping
    for (let failures = 1; !signal.aborted; failures++) {
      this.#pulse.turned()
      const born = clock.monotonic()
      const error = await this.#live().catch((thrown: unknown) => thrown)
      if (signal.aborted) break
      this.#lanes.interrupt()
      const before = this.#ended
      this.#ended = `Kafka: ${messageOf(error)}`
      if (clock.monotonic() - born > longLifeMs) failures = 1
      if (this.#ended !== before)
        log.warn(
          { groupId: this.#group.groupId, error: messageOf(error) },
          'the consumer ended; another one is started',
        )
      await sleep(backoff(failures, retry), { signal, clock })
    }
  }

  /** One member's life; ends when it crashed or stands still. */
  async #live(): Promise<unknown> {
    const { clock } = this.#clients
    const ended = Promise.withResolvers<unknown>()
    const stopped = aborted(this.#stopping.signal)
    const isStuck = (): boolean => clock.monotonic() - this.polledAt() > stallMs
    const unwatch = every(
      1000,
      () => {
        if (isStuck()) ended.resolve(new AppError('Unavailable', `no turn for ${stallMs} ms`))
      },
      clock,
    )
    let joining: Promise<GroupMember> | undefined
    try {
      joining = this.#join(ended.resolve)
      const born = await Promise.race([joining, stopped, ended.promise.then((error) => Promise.reject(error))])
      if (born === false) return undefined
      this.#member = born
      for (const lane of this.#lanes.values()) if (lane.next >= 0) born.seek(lane.of, lane.next)
      return await Promise.race([ended.promise, stopped])
    } finally {
      unwatch()
      this.#member = undefined
      const gone = joining?.then((former) => former.stop()).catch(() => {})
      if (this.#stopping.signal.aborted) await gone
    }
  }

  async #join(crashed: (error: unknown) => void): Promise<GroupMember> {
    const { topic, startFrom } = this.#options
    const { sessionTimeoutMs = 10_000, metadataMaxAgeMs = 10_000, maxBytesPerPartition = 512 * 1024 } = this.#options
    const life = ++this.#lives
    const isAlive = (): boolean => life === this.#lives
    if (!this.#hasStarted) {
      const groupId = await currentGroup(this.#clients.admin, topic, this.#options)
      const { formerGroupId } = this.#options
      this.#group = { groupId, isNew: formerGroupId !== undefined && groupId !== formerGroupId }
      await commitGroupStart({ ...this.#clients, topic, groupId, startFrom })
    }
    this.#hasStarted = true
    const { groupId } = this.#group
    return this.#clients.joinGroup(
      {
        groupId,
        topics: [topic],
        sessionTimeoutMs,
        maxBytesPerPartition,
        metadataMaxAgeMs,
        maxPartitionsAtOnce: 64,
        maxWaitMs: 500,
      },
      {
        leaving: async () => {
          if (!isAlive()) return
          this.#ended = undefined
          await this.#lanes.leaving()
        },
        joined: (partitions, membership) => {
          if (!isAlive()) return
          this.#ended = undefined
          this.#lanes.joined(partitions, membership)
        },
        batch: async (records, control) => {
          if (isAlive()) await this.#lanes.batch(records, control)
        },
        outOfRange: async (of) => {
          if (isAlive()) await this.#lanes.outOfRange(of)
        },
        polled: () => {
          if (isAlive()) this.#pulse.turned()
        },
        heard: () => {
          if (isAlive()) this.#pulse.heard()
        },
        crashed,
      },
    )
  }
}
