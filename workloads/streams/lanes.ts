import { messageOf } from '../../lib/errors.ts'
import type { Membership } from '../../lib/kafka/consumer-group-hooks.ts'
import { failureOf } from '../../lib/kafka/errors.ts'
import type { BatchControl, MemberEvents } from '../../lib/kafka/group.ts'
import type { KafkaBatch, TopicPartition } from '../../lib/kafka/records.ts'
import { type Clock, sleep } from '../../lib/time.ts'
import { Lane, type LaneOptions, type Work } from './lane.ts'
import type { Pulse } from './pulse.ts'
import { every } from './waits.ts'

export interface LanesOptions extends Omit<LaneOptions, 'turned'> {
  readonly pulse: Pulse
  /** Least time from the begin of a partition's transaction to that of its next. */
  readonly spacingMs: number
  /** The process ends: no further slice is begun. */
  readonly stopping: AbortSignal
  readonly onOffsetLost: (of: TopicPartition, lost: { readonly from: number; readonly to: number }) => void
}

/** For the batch in work, when others wait for its partition or the process for its end. */
export const graceMs = 3000
const releaseTimeoutMs = 3000
const heartbeatMs = 1000
const topicIdMs = 1000

/** The partitions that the group assigned to this process, from one join to the next. */
export class Lanes implements Pick<MemberEvents, 'leaving' | 'joined' | 'batch' | 'outOfRange'> {
  readonly #options: LanesOptions
  readonly #clock: Clock
  readonly #pulse: Pulse
  readonly #lanes = new Map<number, Lane>()
  /** Of partitions that were lost while something of them is under way. */
  readonly #former = new Map<number, Promise<void>>()
  #generation = 0
  #isReading = false
  #topicId: Promise<string | undefined> = Promise.resolve(undefined)
  #topicIdAt = Number.NEGATIVE_INFINITY

  constructor(options: LanesOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#pulse = options.pulse
  }

  /** Whether every partition of the last join can be worked on. */
  get isReading(): boolean {
    return this.#isReading
  }

  values(): IterableIterator<Lane> {
    return this.#lanes.values()
  }

  /** The member is gone, or another one is to come. */
  interrupt(): void {
    this.#isReading = false
  }

  joined(partitions: readonly TopicPartition[], membership: Membership | undefined): void {
    this.#pulse.turned()
    this.#pulse.heard()
    const owned = new Set(partitions.map(({ partition }) => partition))
    for (const [partition, lane] of this.#lanes) {
      lane.abort()
      if (!owned.has(partition)) this.#lose(lane)
    }
    this.#topicIdAt = Number.NEGATIVE_INFINITY
    const taken = partitions.map((of) => (this.#lanes.get(of.partition) ?? this.#newLane(of)).take(membership))
    const generation = ++this.#generation
    Promise.all(taken).then((isOpen) => {
      if (generation !== this.#generation || isOpen.includes(false)) return
      this.#isReading = true
      const { group, log } = this.#options
      log.info({ groupId: group().groupId, partitions: [...owned] }, 'reading')
    })
  }

  #newLane(of: TopicPartition): Lane {
    const { partition } = of
    const lane = new Lane(of, { ...this.#options, turned: () => this.#pulse.turned() }, this.#former.get(partition))
    this.#lanes.set(partition, lane)
    return lane
  }

  #lose(lane: Lane): void {
    const { partition } = lane.of
    this.#lanes.delete(partition)
    const gone = lane.settled.then(() => {
      lane.discard()
      if (!this.#lanes.has(partition)) this.#options.handler.revoked(lane.of)
      if (this.#former.get(partition) === gone) this.#former.delete(partition)
    })
    this.#former.set(partition, gone)
  }

  /** Lets what is in work end, for some seconds, and writes what the next owner should find. */
  async leaving(): Promise<void> {
    this.interrupt()
    this.#generation++
    const inWork = [...this.#lanes.values()]
    if (inWork.length === 0) return
    await this.#withGrace(inWork, () => Promise.all(inWork.map(({ idle }) => idle)))
    await this.#release(inWork)
  }

  /** After some seconds, what is still in work is aborted. */
  async #withGrace<T>(lanes: readonly Lane[], work: () => Promise<T>): Promise<T> {
    const ended = new AbortController()
    sleep(graceMs, { signal: ended.signal, clock: this.#clock }).then(() => {
      if (!ended.signal.aborted) for (const lane of lanes) lane.abort()
    })
    try {
      return await work()
    } finally {
      ended.abort()
    }
  }

  async #release(lanes: readonly Lane[]): Promise<void> {
    const { handler, log } = this.#options
    const ended = new AbortController()
    const late = new AbortController()
    const released = handler
      .releasing(
        lanes.map(({ of }) => of),
        late.signal,
      )
      .catch((error) => {
        log.warn({ error: messageOf(error) }, 'cannot release the partitions in time')
      })
    await Promise.race([released, sleep(releaseTimeoutMs, { signal: ended.signal, clock: this.#clock })])
    ended.abort()
    late.abort()
  }

  async batch(records: KafkaBatch, control: BatchControl): Promise<void> {
    this.#pulse.turned()
    const lane = this.#lanes.get(records.partition)
    if (lane === undefined) return
    const heart = this.#beat(lane, control)
    try {
      await this.#work(lane, records, control, {
        signal: lane.signal,
        paused: () => heart.lost() !== undefined || this.#options.stopping.aborted,
      })
    } finally {
      heart.stop()
      this.#pulse.turned()
    }
    const lost = heart.lost()
    if (lost !== undefined) throw lost
  }

  async #work(lane: Lane, records: KafkaBatch, control: BatchControl, work: Work): Promise<void> {
    const { signal } = work
    const topicId = await this.#currentTopicId(lane.of.topic)
    await lane.occupy(signal, async () => {
      if (control.isStale() || this.#lanes.get(records.partition) !== lane) return
      if (lane.isRemade(topicId)) return lane.reopen(signal)
      const began = this.#clock.monotonic()
      await lane.work(records, control, work)
      const restMs = this.#options.spacingMs - (this.#clock.monotonic() - began)
      if (restMs > 0 && !this.#options.stopping.aborted) await sleep(restMs, { signal: signal, clock: this.#clock })
    })
  }

  /** As it was a second ago at most: a lane that goes on in another topic of the same name does so at a wrong offset. */
  async #currentTopicId(topic: string): Promise<string | undefined> {
    const now = this.#clock.monotonic()
    if (now - this.#topicIdAt > topicIdMs) {
      this.#topicIdAt = now
      // where it cannot be told, the transaction will not succeed either
      this.#topicId = this.#options.admin.topicId(topic).catch(() => undefined)
    }
    return this.#topicId
  }

  /** Heartbeats while a batch is in work. Who is no member any more stops at once; who is to join anew, after some seconds. */
  #beat(lane: Lane, control: BatchControl): { readonly lost: () => unknown; readonly stop: () => void } {
    const { signal } = lane
    const ended = new AbortController()
    let lost: unknown
    const beat = async (): Promise<void> => {
      try {
        await control.heartbeat()
      } catch (error) {
        const failure = failureOf(error)
        if (failure !== 'Rejoin' && failure !== 'Expelled') return this.#pulse.unheard(messageOf(error))
        if (lost !== undefined) return
        lost = error
        if (failure === 'Expelled') lane.abort()
        else sleep(graceMs, { signal: ended.signal, clock: this.#clock }).then(() => abortUnlessEnded())
      }
    }
    const abortUnlessEnded = (): void => {
      if (!ended.signal.aborted && lane.signal === signal) lane.abort()
    }
    const stop = every(heartbeatMs, beat, this.#clock)
    return {
      lost: () => lost,
      stop: () => {
        stop()
        ended.abort()
      },
    }
  }

  /** The member's position is not in the log: goes on where the lane stands, or else at the first record that is there. */
  async outOfRange(of: TopicPartition): Promise<void> {
    const lane = this.#lanes.get(of.partition)
    if (lane === undefined) return
    const { signal } = lane
    const { admin, log, onOffsetLost } = this.#options
    await lane.occupy(signal, async () => {
      if (lane.isRemade(await admin.topicId(of.topic))) return lane.reopen(signal)
      const offsets = (await admin.topicOffsets(of.topic)).get(of.partition)
      if (offsets === undefined) return
      // Only the member is elsewhere: what was sought may have come before it had the partition.
      if (lane.next >= offsets.low && lane.next <= offsets.high) return lane.skipTo(lane.next)
      onOffsetLost(of, { from: lane.next, to: offsets.low })
      log.error(
        { ...of, from: lane.next, to: offsets.low },
        'the next offset is not in the log: records were lost before they were read',
      )
      lane.skipTo(offsets.low)
    })
  }

  /**
   * Ends everything. `leave` leaves the group, and answers whether that was done in time.
   */
  async close(leave: () => Promise<boolean>): Promise<void> {
    const { group, handler, log } = this.#options
    const hasLeft = await this.#withGrace([...this.#lanes.values()], leave)
    if (!hasLeft) {
      log.warn(
        { groupId: group().groupId },
        'the group could not be left in time: its other members wait for the end of the session',
      )
      await this.#release([...this.#lanes.values()])
    }
    for (const lane of this.#lanes.values()) {
      lane.abort()
      lane.close()
      handler.revoked(lane.of)
    }
    this.#lanes.clear()
  }
}
