import { AppError, messageOf } from '../../lib/errors.ts'
import type { Commit, KafkaAdmin } from '../../lib/kafka/admin.ts'
import type { Membership } from '../../lib/kafka/consumer-group-hooks.ts'
import { failureOf, KafkaError, type KafkaFailure } from '../../lib/kafka/errors.ts'
import type { BatchControl } from '../../lib/kafka/group.ts'
import type { KafkaBatch, KafkaRecord, OutgoingRecord, TopicPartition } from '../../lib/kafka/records.ts'
import type { OpenProducer, Transaction, TransactionalProducer } from '../../lib/kafka/transactional-producer.ts'
import type { Logger } from '../../lib/log.ts'
import { extract, traced } from '../../lib/telemetry.ts'
import { backoff, type Clock, sleep } from '../../lib/time.ts'
import type { TraceHeaders } from '../../lib/tracing.ts'
import { Isolation } from './isolation.ts'
import type { PartitionHandler } from './partition-handler.ts'
import { isServersFault, lineOf, type Part, type Problem, problemOf } from './problem.ts'
import { SendLimits } from './send-limits.ts'
import { topicIdIn, topicIdText } from './topic-id-text.ts'
import { formerTransactionalId, transactionalId } from './transactional-id.ts'

export interface Group {
  readonly groupId: string
  /** No earlier version can be a member. */
  readonly isNew: boolean
}

/** What the lanes of a process share. */
export interface LaneOptions {
  readonly group: () => Group
  readonly handler: PartitionHandler
  readonly openProducer: OpenProducer
  readonly admin: Pick<KafkaAdmin, 'topicOffsets' | 'committedOffsets' | 'topicId'>
  readonly startFrom: 'Earliest' | 'Latest'
  readonly onTopicRemade: (of: TopicPartition) => void
  readonly clock: Clock
  readonly log: Logger
  readonly maxRecords: number
  readonly maxSendBytes: number
  /** Where the member reads next. */
  readonly seek: (of: TopicPartition, offset: number) => void
  /** The loop is at work, though it fetches nothing. */
  readonly turned: () => void
}

export interface Work {
  /** The batch's owner is gone: nothing of it is committed. */
  readonly signal: AbortSignal
  /** No further slice is begun: what is done is committed. */
  readonly paused: () => boolean
}

/** Another process owns the partition, or the group has decided anew. */
const fencing: ReadonlySet<KafkaFailure> = new Set(['Fenced', 'Expelled', 'Rejoin'])

interface Blamed {
  readonly record: KafkaRecord
  readonly error: unknown
}

/** Traces that a commit is linked to. */
const mostLinks = 100
export const retry = { baseMs: 100, maxMs: 5000 }

/** An owned partition: its producer, its position, and the transactions that move both. */
export class Lane {
  readonly of: TopicPartition
  /** Whether it may be worked on; false when the partition was taken away meanwhile. */
  ready: Promise<boolean> = Promise.resolve(false)
  readonly #options: LaneOptions
  readonly #limits: SendLimits
  #producer: TransactionalProducer | undefined
  #membership: Membership | undefined
  /** Of the topic that `next` is of; undefined where the broker knows no ids. */
  #topicId: string | undefined
  /** Next offset to handle; -1 before the committed one is known. */
  #next = -1
  /** Offset after the last record of the partition, as far as it is known. */
  logEnd = 0
  #busy: Promise<void> = Promise.resolve()
  /** When the batch in work last made progress, by the monotonic clock; undefined while there is none. */
  #movedAt: number | undefined
  /** What keeps failing. */
  #problem: Problem | undefined
  readonly #isolation = new Isolation()
  /** The record that the transaction in hand sets aside. */
  #blamed: Blamed | undefined
  #stop = new AbortController()
  /** A commit whose fate is unknown, up to this offset. */
  #unsettled: number | undefined
  #failures = 0

  constructor(of: TopicPartition, options: LaneOptions) {
    this.of = of
    this.#options = options
    this.#limits = new SendLimits(options.maxSendBytes)
  }

  get next(): number {
    return this.#next
  }

  /** Records known to wait. */
  get lag(): number {
    return this.#next < 0 ? 0 : Math.max(0, this.logEnd - this.#next)
  }

  get problem(): Problem | undefined {
    return this.#problem
  }

  get movedAt(): number | undefined {
    return this.#movedAt
  }

  /** Settles when no batch is in work. */
  get idle(): Promise<void> {
    return this.#busy
  }

  /** Aborted when the partition may be another's, until it is taken again. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  moved(): void {
    if (this.#movedAt !== undefined) this.#movedAt = this.#options.clock.monotonic()
  }

  /** The partition is ours after a join: opens the lane when the batch in work has ended. */
  take(membership: Membership | undefined): void {
    this.#stop.abort()
    this.#stop = new AbortController()
    this.#membership = membership
    this.reopen()
  }

  /** What is in work is not committed any more. */
  abort(): void {
    this.#stop.abort()
  }

  /** The partition is another's: what is staged is void, whatever became of the last commit. */
  discard(): void {
    this.#producer?.discard()
    if (this.#unsettled !== undefined) this.#drop()
  }

  close(): void {
    this.#producer?.discard()
  }

  /** The records up to this offset are gone. */
  skipTo(offset: number): void {
    this.#next = offset
    this.#options.seek(this.of, offset)
  }

  /** Runs the work of a batch: nothing else of the lane begins before it has ended. */
  async occupy(work: () => Promise<void>): Promise<void> {
    const done = Promise.withResolvers<void>()
    this.#busy = done.promise
    this.#movedAt = this.#options.clock.monotonic()
    try {
      await work()
    } finally {
      this.#movedAt = undefined
      done.resolve()
    }
  }

  async #openUntilDone(signal: AbortSignal): Promise<boolean> {
    const { clock, log } = this.#options
    for (let failures = 1; !signal.aborted; failures++) {
      this.#onward()
      try {
        await this.#open(signal)
        this.#problem = undefined
        return true
      } catch (error) {
        if (signal.aborted) break
        this.#problem = problemOf(error, 'kafka')
        log.warn({ ...this.of, error: messageOf(error), failures }, 'cannot take the partition yet')
        await sleep(backoff(failures, retry), { signal, clock })
      }
    }
    return false
  }

  /** A lane is opened by the loop, or by the batch that failed on it. */
  #onward(): void {
    this.#options.turned()
    this.moved()
  }

  /** Takes a partition: fence, epoch, offset, in this order. */
  async #open(signal: AbortSignal): Promise<void> {
    const { handler, openProducer, seek } = this.#options
    const { groupId, isNew } = this.#options.group()
    const { of } = this
    this.#producer?.discard()
    this.#producer = undefined
    if (!isNew) (await openProducer(formerTransactionalId(groupId, of.topic, of.partition))).discard()
    const producer = await openProducer(transactionalId(groupId, of.topic, of.partition))
    try {
      signal.throwIfAborted()
      this.#onward()
      await handler.assigned(of, signal)
      this.#onward()
      const topicId = await this.#options.admin.topicId(of.topic)
      const committed = (await this.#options.admin.committedOffsets(groupId, of.topic)).get(of.partition)
      this.#onward()
      const next = await this.#start(producer, committed, topicId)
      signal.throwIfAborted()
      // What was acknowledged stays done, even where the broker then skips its markers, as Kafka 4.3 may when all replicas restart.
      this.#next = Math.max(this.#next, next)
      this.#producer = producer
      seek(of, this.#next)
    } catch (error) {
      producer.discard()
      throw error
    }
  }

  /** Where to go on: at what is committed, unless that is of another topic of the same name. */
  async #start(
    producer: TransactionalProducer,
    committed: Commit | undefined,
    topicId: string | undefined,
  ): Promise<number> {
    const { of } = this
    const { log, onTopicRemade, startFrom } = this.#options
    const committedId = committed === undefined ? undefined : topicIdIn(committed.metadata)
    const isOther = (id: string | undefined): boolean => id !== undefined && topicId !== undefined && id !== topicId
    const wasOther = isOther(this.#topicId)
    const former = wasOther ? this.#topicId : committedId
    // What another owner has committed for the new topic says nothing of a commit of ours for the former one.
    this.#settle(wasOther && !isOther(committedId) ? undefined : committed?.offset)
    const known = this.#topicId
    this.#topicId = topicId
    if (wasOther) {
      this.#next = -1
      this.logEnd = 0
    }
    if (committed !== undefined && !isOther(committedId)) return committed.offset
    // With a topic Kafka forgets what groups have committed for it.
    if (committed === undefined && !wasOther) return this.#commitFirst(producer, 'Earliest')
    this.#next = -1
    const first = await this.#commitFirst(producer, startFrom).catch((error) => {
      // The next try must know it as well: the broker may have nothing committed to tell by.
      this.#topicId = known
      throw error
    })
    onTopicRemade(of)
    log.warn(
      { ...of, former, topicId, startFrom, offset: first },
      'the topic was deleted and made anew: it is another one',
    )
    return first
  }

  /** A partition that has nothing committed, or whose topic is another one, begins. */
  async #commitFirst(producer: TransactionalProducer, startFrom: 'Earliest' | 'Latest'): Promise<number> {
    const { of } = this
    const { admin, log } = this.#options
    const offsets = (await admin.topicOffsets(of.topic)).get(of.partition)
    if (offsets === undefined) throw new AppError('NotFound', `Cannot find partition ${of.partition} of ${of.topic}`)
    const offset = startFrom === 'Latest' ? offsets.high : offsets.low
    const transaction = await producer.begin()
    await this.#sendOffset(transaction, offset)
    await transaction.commit()
    log.info({ ...of, offset }, 'a partition begins')
    return offset
  }

  #sendOffset(transaction: Transaction, offset: number): Promise<void> {
    const metadata = topicIdText(this.#topicId)
    const { groupId } = this.#options.group()
    return transaction.sendOffsets(groupId, [{ ...this.of, offset, metadata }], { membership: this.#membership })
  }

  /** Whether the topic is not the one that was read so far. */
  isRemade(topicId: string | undefined): boolean {
    return topicId !== undefined && this.#topicId !== undefined && topicId !== this.#topicId
  }

  /** Looks anew for where to go on, after the batch in work. */
  reopen(): void {
    const { signal } = this.#stop
    this.ready = this.#busy.then(() => this.#openUntilDone(signal))
  }

  /** After the committed offset is known, so is the fate of the last commit. */
  #settle(committed: number | undefined): void {
    if (this.#unsettled === undefined) return
    const isPromoted = committed !== undefined && committed >= this.#unsettled
    this.#unsettled = undefined
    if (isPromoted) this.#promote(committed)
    else this.#drop()
  }

  /** Handles what is new of a batch and commits what came of it, in one transaction unless a bad record is looked for. */
  async work(batch: KafkaBatch, control: BatchControl, work: Work): Promise<void> {
    this.logEnd = Math.max(this.logEnd, batch.highWatermark)
    if (batch.problem !== undefined) return this.#cannotRead(batch.problem)
    let isUnfinished: boolean
    do isUnfinished = await this.#try(batch, control, work)
    while (isUnfinished && !work.paused() && !work.signal.aborted)
    if (isUnfinished) this.#options.seek(this.of, this.#next)
  }

  /** It is tried anew until it succeeds, or the log begins behind it. */
  #cannotRead(message: string): void {
    if (this.#problem?.message !== message)
      this.#options.log.error({ ...this.of, error: message }, 'the log is damaged')
    this.#problem = { part: 'kafka', message }
  }

  /** Answers whether more of the batch is to be tried at once. */
  async #try(batch: KafkaBatch, control: BatchControl, work: Work): Promise<boolean> {
    const { handler, seek } = this.#options
    const isKnown = this.#next > (batch.records[0]?.offset ?? 0)
    const all = isKnown ? batch.records.filter(({ offset }) => offset >= this.#next) : batch.records
    const records = this.#isolation.take(all)
    const endOf = (count: number): number => (count === all.length ? control.end : records[count - 1]!.offset + 1)
    const outgoing: OutgoingRecord[] = []
    let count: number
    let blamed: Blamed | undefined
    try {
      count = await this.#handle({ ...batch, records }, outgoing, work)
    } catch (error) {
      handler.dropped(this.of)
      this.moved()
      if (work.signal.aborted) return true
      blamed = this.#blame(records, error)
      if (blamed === undefined && this.#isolation.isActive && !isServersFault(error)) {
        this.#problem = { part: 'record', message: lineOf(error) }
        return true
      }
      if (blamed === undefined) {
        seek(this.of, this.#next)
        await this.#failed(error, 'state', 'the handler failed; its records come again')
        return false
      }
      outgoing.splice(0, outgoing.length, handler.unprocessable(blamed.record, this.of, error))
      count = 1
    }
    const end = count === 0 && records.length > 0 ? this.#next : Math.max(this.#next, endOf(count))
    if (end === this.#next) return false
    const wasActive = this.#isolation.isActive
    this.#blamed = blamed
    if (!(await this.#commit(outgoing, end))) return false
    this.#next = end
    this.#failures = 0
    this.#problem = undefined
    control.resolve(end)
    this.#promote(end)
    if (this.#producer!.isSpent) {
      this.#reopenNow()
      await this.ready
    }
    return wasActive && end < control.end
  }

  #blame(records: readonly KafkaRecord[], error: unknown): Blamed | undefined {
    if (isServersFault(error) || !this.#isolation.failed(records)) return undefined
    return { record: records[0]!, error }
  }

  #promote(end: number): void {
    const { handler, log } = this.#options
    this.#isolation.passed(end)
    const blamed = this.#blamed
    this.#blamed = undefined
    handler.committed(this.of, end)
    if (blamed === undefined) return
    const { record, error } = blamed
    handler.setAside(record, this.of, error)
    log.error(
      { ...this.of, offset: record.offset, error: lineOf(error) },
      'a record cannot be processed: it is set aside',
    )
  }

  #drop(): void {
    this.#blamed = undefined
    this.#options.handler.dropped(this.of)
  }

  /** Hands over the records in slices. Answers with how many were handled before a pause. */
  async #handle(batch: KafkaBatch, outgoing: OutgoingRecord[], { signal, paused }: Work): Promise<number> {
    const { handler, maxRecords } = this.#options
    const { records } = batch
    let count = 0
    while (count < records.length && !paused()) {
      const slice = records.length <= maxRecords ? records : records.slice(count, count + maxRecords)
      for (const record of await handler.batch({ ...batch, records: slice }, signal)) outgoing.push(record)
      signal.throwIfAborted()
      this.moved()
      count += slice.length
    }
    return count
  }

  /** Whether the transaction is known to have committed; where it is not, the lane was opened again. */
  async #commit(outgoing: readonly OutgoingRecord[], end: number): Promise<boolean> {
    const { handler } = this.#options
    let isCommitting = false
    try {
      await traced('commit', { kind: 'producer', links: tracesOf(outgoing) }, async () => {
        const transaction = await this.#producer!.begin()
        for (const records of this.#limits.split(outgoing, (record) => handler.tooLarge(record))) {
          this.moved()
          await transaction.send(records)
        }
        this.moved()
        await this.#sendOffset(transaction, end)
        this.moved()
        isCommitting = true
        await transaction.commit()
      })
      return true
    } catch (error) {
      if (failureOf(error) === 'TooLarge') this.#limits.tighten(outgoing)
      await this.#undo(error, isCommitting ? end : undefined)
      return false
    }
  }

  /**
   * The producer is of no use any more.
   * @param end of a commit that threw, and may have committed all the same
   */
  async #undo(error: unknown, end: number | undefined): Promise<void> {
    const { log } = this.#options
    this.#producer?.discard()
    this.#producer = undefined
    const failure = failureOf(error)
    if (end !== undefined && failure !== 'Fenced') this.#unsettled = end
    else this.#drop()
    if (fencing.has(failure)) {
      this.ready = Promise.resolve(false)
      log.warn({ ...this.of, error: messageOf(error) }, 'fenced: another process owns the partition; joining anew')
      throw new KafkaError('Rejoin', `fenced on ${this.of.topic}-${this.of.partition}`)
    }
    await this.#failed(error, 'kafka', 'a transaction failed; its outcome is being looked up')
    this.#reopenNow()
    await this.ready
  }

  #reopenNow(): void {
    this.ready = this.#openUntilDone(this.#stop.signal)
  }

  async #failed(error: unknown, server: Part, message: string): Promise<void> {
    const { clock, log } = this.#options
    this.#failures++
    log.warn({ ...this.of, error: messageOf(error), failures: this.#failures }, message)
    if (this.#failures === 1) return
    this.#problem = problemOf(error, server)
    await sleep(backoff(this.#failures, retry), { signal: this.#stop.signal, clock })
    this.moved()
  }
}

/** The traces that the first of the records carry. */
function tracesOf(outgoing: readonly OutgoingRecord[]): readonly TraceHeaders[] {
  const traces: TraceHeaders[] = []
  for (const { headers } of outgoing) {
    const trace = headers?.traceparent === undefined ? undefined : extract((name) => headers[name])
    if (trace !== undefined && traces.push(trace) === mostLinks) break
  }
  return traces
}
