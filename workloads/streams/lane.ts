import { AppError, messageOf } from '../../lib/errors.ts'
import type { KafkaAdmin } from '../../lib/kafka/admin.ts'
import { failureOf, KafkaError } from '../../lib/kafka/errors.ts'
import type { BatchControl } from '../../lib/kafka/group.ts'
import type { OutgoingRecord, RecordBatch, TopicPartition } from '../../lib/kafka/records.ts'
import type { OpenProducer, TransactionalProducer } from '../../lib/kafka/transactional-producer.ts'
import type { Logger } from '../../lib/log.ts'
import { extract, traced } from '../../lib/telemetry.ts'
import type { TraceHeaders } from '../../lib/tracing.ts'
import { backoff, type Clock, sleep } from '../../lib/time.ts'
import type { PartitionHandler } from './partition-handler.ts'
import { SendLimits } from './send-limits.ts'

/** What the lanes of a process share. */
export interface LaneOptions {
  readonly groupId: string
  readonly handler: PartitionHandler
  readonly openProducer: OpenProducer
  readonly admin: Pick<KafkaAdmin, 'topicOffsets' | 'committedOffsets'>
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
  /** Next offset to handle; -1 before the committed one is known. */
  #next = -1
  #lag = 0
  #busy: Promise<void> = Promise.resolve()
  /** When the batch in work last made progress, by the monotonic clock; undefined while there is none. */
  #movedAt: number | undefined
  /** What keeps failing, in words. */
  #problem: string | undefined
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

  get lag(): number {
    return this.#lag
  }

  get problem(): string | undefined {
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
  take(): void {
    this.#stop.abort()
    this.#stop = new AbortController()
    const { signal } = this.#stop
    this.ready = this.#busy.then(() => this.#openUntilDone(signal))
  }

  /** What is in work is not committed any more. */
  abort(): void {
    this.#stop.abort()
  }

  /** The partition is another's: what is staged is void, whatever became of the last commit. */
  discard(): void {
    this.#producer?.discard()
    if (this.#unsettled !== undefined) this.#options.handler.dropped(this.of)
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
        this.#problem = messageOf(error)
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
    const { groupId, handler, openProducer, seek } = this.#options
    const { of } = this
    this.#producer?.discard()
    this.#producer = undefined
    const producer = await openProducer(`${groupId}-${of.topic}-${of.partition}`)
    try {
      signal.throwIfAborted()
      this.#onward()
      await handler.assigned(of, signal)
      this.#onward()
      const committed = (await this.#options.admin.committedOffsets(groupId, of.topic)).get(of.partition)
      this.#onward()
      const next = committed ?? (await this.#commitFirst(producer))
      this.#settle(next)
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

  /** A partition that was added to the topic starts at its first record. */
  async #commitFirst(producer: TransactionalProducer): Promise<number> {
    const { of } = this
    const { admin, groupId, log } = this.#options
    const first = (await admin.topicOffsets(of.topic)).get(of.partition)?.low
    if (first === undefined) throw new AppError('NotFound', `Cannot find partition ${of.partition} of ${of.topic}`)
    const transaction = await producer.begin()
    await transaction.sendOffsets(groupId, [{ ...of, offset: first }])
    await transaction.commit()
    log.info({ ...of, offset: first }, 'a new partition starts at its first record')
    return first
  }

  /** After the committed offset is known, so is the fate of the last commit. */
  #settle(committed: number): void {
    if (this.#unsettled === undefined) return
    const isPromoted = committed >= this.#unsettled
    this.#unsettled = undefined
    if (isPromoted) this.#options.handler.committed(this.of, committed)
    else this.#options.handler.dropped(this.of)
  }

  /** Handles what is new of a batch, in slices, and commits what came of it in one transaction. */
  async work(batch: RecordBatch, control: BatchControl, work: Work): Promise<void> {
    const { handler, seek } = this.#options
    const outgoing: OutgoingRecord[] = []
    let end: number
    try {
      end = await this.#handle(batch, control, { ...work, outgoing })
    } catch (error) {
      handler.dropped(this.of)
      seek(this.of, this.#next)
      if (work.signal.aborted) return
      await this.#failed(error, 'the handler failed; its records come again')
      return
    }
    if (end === this.#next || !(await this.#commit(outgoing, end))) return
    this.#next = end
    this.#lag = Math.max(0, batch.highWatermark - end)
    this.#failures = 0
    this.#problem = undefined
    control.resolve(end)
    handler.committed(this.of, end)
  }

  /** Answers with the offset up to which the batch was handled. */
  async #handle(
    batch: RecordBatch,
    control: BatchControl,
    { signal, paused, outgoing }: Work & { readonly outgoing: OutgoingRecord[] },
  ): Promise<number> {
    const { handler, maxRecords } = this.#options
    const isKnown = this.#next > (batch.records[0]?.offset ?? 0)
    const records = isKnown ? batch.records.filter(({ offset }) => offset >= this.#next) : batch.records
    if (records.length === 0) return Math.max(this.#next, control.end)
    let end = this.#next
    for (let from = 0; from < records.length && !paused(); from += maxRecords) {
      const slice = records.length <= maxRecords ? records : records.slice(from, from + maxRecords)
      for (const record of await handler.batch({ ...batch, records: slice }, signal)) outgoing.push(record)
      signal.throwIfAborted()
      this.moved()
      end = from + maxRecords >= records.length ? Math.max(end, control.end) : slice.at(-1)!.offset + 1
    }
    return end
  }

  /** Whether the transaction is known to have committed; where it is not, the lane was opened again. */
  async #commit(outgoing: readonly OutgoingRecord[], end: number): Promise<boolean> {
    const { groupId, handler } = this.#options
    let isCommitting = false
    try {
      await traced('commit', { kind: 'producer', links: tracesOf(outgoing) }, async () => {
        const transaction = await this.#producer!.begin()
        for (const records of this.#limits.split(outgoing, (record) => handler.tooLarge(record))) {
          this.moved()
          await transaction.send(records)
        }
        this.moved()
        await transaction.sendOffsets(groupId, [{ ...this.of, offset: end }])
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
    const { handler, log } = this.#options
    this.#producer?.discard()
    this.#producer = undefined
    const isFenced = failureOf(error) === 'Fenced'
    if (end !== undefined && !isFenced) this.#unsettled = end
    else handler.dropped(this.of)
    if (isFenced) {
      this.ready = Promise.resolve(false)
      log.warn({ ...this.of, error: messageOf(error) }, 'fenced: another process owns the partition; joining anew')
      throw new KafkaError('Rejoin', `fenced on ${this.of.topic}-${this.of.partition}`)
    }
    await this.#failed(error, 'a transaction failed; its outcome is being looked up')
    this.ready = this.#openUntilDone(this.#stop.signal)
    await this.ready
  }

  async #failed(error: unknown, message: string): Promise<void> {
    const { clock, log } = this.#options
    this.#failures++
    log.warn({ ...this.of, error: messageOf(error), failures: this.#failures }, message)
    if (this.#failures === 1) return
    this.#problem = messageOf(error)
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
