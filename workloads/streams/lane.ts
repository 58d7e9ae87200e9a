import { messageOf } from '../../lib/errors.ts'
import type { Membership } from '../../lib/kafka/consumer-group-hooks.ts'
import { failureOf, KafkaError, type KafkaFailure } from '../../lib/kafka/errors.ts'
import type { BatchControl } from '../../lib/kafka/group.ts'
import type { KafkaBatch, KafkaRecord, OutgoingRecord, TopicPartition } from '../../lib/kafka/records.ts'
import type { TransactionalProducer } from '../../lib/kafka/transactional-producer.ts'
import { extract, traced } from '../../lib/telemetry.ts'
import { backoff, sleep } from '../../lib/time.ts'
import type { TraceHeaders } from '../../lib/tracing.ts'
import { Isolation } from './isolation.ts'
import { type Owner, openPartition, type PartitionOptions, sendOffset } from './open-partition.ts'
import { isServersFault, lineOf, type Part, type Problem, problemOf } from './problem.ts'
import { SendLimits } from './send-limits.ts'
import { unlessAborted } from './waits.ts'

/** What the lanes of a process share. */
export interface LaneOptions extends PartitionOptions {
  readonly maxRecords: number
  readonly maxSendBytes: number
  readonly offsetsGoBack?: boolean | undefined
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

/**
 * An owned partition: its producer, its position, and the transactions that move both. One thing is done after the
 * other: of two openings at once, one would fence the other.
 */
export class Lane {
  readonly of: TopicPartition
  readonly #options: LaneOptions
  readonly #limits: SendLimits
  /** Undefined while nothing may be worked on. */
  #producer: TransactionalProducer | undefined
  #membership: Membership | undefined
  /** Of the topic that `next` is of; undefined where the broker knows no ids. */
  #topicId: string | undefined
  /** Next offset to handle; -1 before the committed one is known. */
  #next = -1
  /** Offset after the last record of the partition, as far as it is known. */
  logEnd = 0
  /** Settles when all that was asked for so far is over. */
  #last: Promise<unknown>
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

  /** @param former settles when nothing is under way any more of an earlier lane of the partition */
  constructor(of: TopicPartition, options: LaneOptions, former: Promise<unknown> = Promise.resolve()) {
    this.of = of
    this.#last = former.catch(() => {})
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

  /** Settles when nothing is under way. */
  get settled(): Promise<unknown> {
    return this.#last
  }

  /** Aborted when the partition may be another's, until it is taken again. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  moved(): void {
    if (this.#movedAt !== undefined) this.#movedAt = this.#options.clock.monotonic()
  }

  /**
   * The partition is ours after a join: opens the lane after what is under way. Answers whether it may be worked on;
   * false when the partition was taken away meanwhile.
   */
  take(membership: Membership | undefined): Promise<boolean> {
    this.#stop.abort()
    this.#stop = new AbortController()
    this.#membership = membership
    const { signal } = this.#stop
    return this.#inTurn(() => this.#openUntilDone(signal))
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
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

  /** Goes on at this offset: the records before it are done with, or gone. */
  skipTo(offset: number): void {
    this.#next = offset
    this.#options.seek(this.of, offset)
  }

  /**
   * Does the work in its turn, if the lane is open then; nothing else of the lane begins before it has ended. Does not
   * wait for a turn once the signal is aborted.
   */
  async occupy(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    let hasBegun = false
    const done = this.#inTurn(async () => {
      if (signal.aborted || this.#producer === undefined) return
      hasBegun = true
      const ended = Promise.withResolvers<void>()
      this.#busy = ended.promise
      this.#movedAt = this.#options.clock.monotonic()
      try {
        await work()
      } finally {
        this.#movedAt = undefined
        ended.resolve()
      }
    })
    await unlessAborted(done, signal)
    if (hasBegun) await done
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

  async #open(signal: AbortSignal): Promise<void> {
    this.#producer?.discard()
    this.#producer = undefined
    const { producer, start, topicId, isOther } = await openPartition(this.of, this.#options, {
      ...this.#owner,
      signal,
      onward: () => this.#onward(),
      committedUpTo: (offset) => this.#settle(offset),
    })
    this.#topicId = topicId
    if (isOther) {
      this.#next = -1
      this.logEnd = 0
    }
    // What was acknowledged stays done, even where the broker then skips its markers, as Kafka 4.3 may when all replicas restart.
    this.#next = this.#options.offsetsGoBack ? start : Math.max(this.#next, start)
    this.#producer = producer
    this.#options.seek(this.of, this.#next)
  }

  get #owner(): Owner {
    return { topicId: this.#topicId, membership: this.#membership }
  }

  /** Whether the topic is not the one that was read so far. */
  isRemade(topicId: string | undefined): boolean {
    return topicId !== undefined && this.#topicId !== undefined && topicId !== this.#topicId
  }

  /** Looks anew for where to go on, within the turn of what is in work; where the partition was taken anew, that follows. */
  async reopen(signal: AbortSignal): Promise<void> {
    await this.#openUntilDone(signal)
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
        await this.#failed(error, 'state', 'the handler failed; its records come again', work.signal)
        return false
      }
      outgoing.splice(0, outgoing.length, handler.unprocessable(blamed.record, this.of, error))
      count = 1
    }
    const end = count === 0 && records.length > 0 ? this.#next : Math.max(this.#next, endOf(count))
    if (end === this.#next) return false
    const wasActive = this.#isolation.isActive
    this.#blamed = blamed
    if (!(await this.#commit(outgoing, end, work.signal))) return false
    this.#next = end
    this.#failures = 0
    this.#problem = undefined
    control.resolve(end)
    this.#promote(end)
    if (this.#producer!.isSpent) await this.reopen(work.signal)
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
  async #commit(outgoing: readonly OutgoingRecord[], end: number, signal: AbortSignal): Promise<boolean> {
    const { handler, group } = this.#options
    let isCommitting = false
    try {
      await traced('commit', { kind: 'producer', links: tracesOf(outgoing) }, async () => {
        const transaction = await this.#producer!.begin()
        for (const records of this.#limits.split(outgoing, (record) => handler.tooLarge(record))) {
          this.moved()
          await transaction.send(records)
        }
        this.moved()
        await sendOffset(transaction, group().groupId, { ...this.of, offset: end }, this.#owner)
        this.moved()
        isCommitting = true
        await transaction.commit()
      })
      return true
    } catch (error) {
      if (failureOf(error) === 'TooLarge') this.#limits.tighten(outgoing)
      await this.#undo(error, isCommitting ? end : undefined, signal)
      return false
    }
  }

  /**
   * The producer is of no use any more.
   * @param end of a commit that threw, and may have committed all the same
   */
  async #undo(error: unknown, end: number | undefined, signal: AbortSignal): Promise<void> {
    const { log } = this.#options
    this.#producer?.discard()
    this.#producer = undefined
    const failure = failureOf(error)
    if (end !== undefined && failure !== 'Fenced') this.#unsettled = end
    else this.#drop()
    if (fencing.has(failure)) {
      log.warn({ ...this.of, error: messageOf(error) }, 'fenced: another process owns the partition; joining anew')
      throw new KafkaError('Rejoin', `fenced on ${this.of.topic}-${this.of.partition}`)
    }
    await this.#failed(error, 'kafka', 'a transaction failed; its outcome is being looked up', signal)
    await this.reopen(signal)
  }

  async #failed(error: unknown, server: Part, message: string, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options
    this.#failures++
    log.warn({ ...this.of, error: messageOf(error), failures: this.#failures }, message)
    if (this.#failures === 1) return
    this.#problem = problemOf(error, server)
    await sleep(backoff(this.#failures, retry), { signal, clock })
    this.moved()
  }
}

/** The traces that the first of the records carry. */
export function tracesOf(records: readonly Pick<OutgoingRecord, 'headers'>[]): readonly TraceHeaders[] {
  const traces: TraceHeaders[] = []
  for (const { headers } of records) {
    const trace = headers?.traceparent === undefined ? undefined : extract((name) => headers[name])
    if (trace !== undefined && traces.push(trace) === mostLinks) break
  }
  return traces
}
