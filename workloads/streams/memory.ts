import type { OutgoingRecord, RecordBatch, StreamRecord } from '../../lib/kafka/records.ts'
import { Isolation } from './isolation.ts'
import { isServersFault } from './problem.ts'
import type { EventStream, StreamHandler } from './stream.ts'

export interface MemoryStreamOptions<R extends StreamRecord = StreamRecord> {
  readonly topic: string
  readonly partitions?: number
  /** Records handled together at most. */
  readonly batchSize?: number
  /** Records that may wait before `append` asks to be patient. */
  readonly capacity?: number
  /** Receives what a batch produced once it is committed; the next batch of any partition waits for it. */
  readonly sink?: (records: readonly OutgoingRecord[], batch: RecordBatch) => Promise<void> | void
  /**
   * What is handled in place of a record that the handler fails on, alone, again and again, and by no server's fault.
   * `consume` fails where that fails as well.
   */
  readonly unprocessable: (record: R, error: unknown) => R
}

interface Partition<R extends StreamRecord> {
  waiting: R[]
  /** Index in `waiting` of the first record not yet handled. */
  head: number
  next: number
  assigned: boolean
  readonly isolation: Isolation
  /** The record at the head stands in for one that could not be processed. */
  isSetAside: boolean
}

/** The stream of one process: nothing is kept after it was handled. */
export class MemoryStream<R extends StreamRecord = StreamRecord> implements EventStream {
  readonly #topic: string
  readonly #batchSize: number
  readonly #capacity: number
  readonly #sink: (records: readonly OutgoingRecord[], batch: RecordBatch) => Promise<void> | void
  readonly #unprocessable: (record: R, error: unknown) => R
  readonly #partitions: Partition<R>[]
  #waiting = 0
  #ended = false
  /** Nobody handles records any more. */
  #over = false
  #arrived: (() => void) | undefined
  #drained: { readonly below: number; readonly resolve: () => void }[] = []

  constructor(options: MemoryStreamOptions<R>) {
    this.#topic = options.topic
    this.#batchSize = options.batchSize ?? 500
    this.#capacity = options.capacity ?? 4000
    this.#sink = options.sink ?? (() => {})
    this.#unprocessable = options.unprocessable
    this.#partitions = Array.from({ length: options.partitions ?? 1 }, () => ({
      waiting: [],
      head: 0,
      next: 0,
      assigned: false,
      isolation: new Isolation(),
      isSetAside: false,
    }))
  }

  get waiting(): number {
    return this.#waiting
  }

  /** Adds a record at the end of the partition and answers with its offset. */
  append(record: Omit<R, 'offset'>, partition = this.#partitionOf(record.key)): number {
    if (this.#ended) throw new RangeError('the stream has ended')
    const to = this.#partitions[partition]
    if (to === undefined) throw new RangeError(`there is no partition ${partition}`)
    const offset = to.next++
    ;(record as { offset?: number }).offset = offset
    to.waiting.push(record as R)
    this.#waiting++
    this.#arrived?.()
    return offset
  }

  /**
   * Settles when there is room for more, or when `consume` has returned or failed and there never will be; undefined
   * where there is nothing to wait for, so that no tick is spent.
   */
  room(): Promise<void> | undefined {
    if (this.#over || this.#waiting < this.#capacity) return undefined
    return this.#waitingBelow(this.#capacity)
  }

  /** Settles when all that was appended so far and meanwhile is handled, or when nobody handles it any more. */
  async drained(): Promise<void> {
    if (!this.#over && this.#waiting > 0) await this.#waitingBelow(1)
  }

  #waitingBelow(below: number): Promise<void> {
    return new Promise((resolve) => this.#drained.push({ below, resolve }))
  }

  /** No more records: `consume` returns when all are handled. */
  end(): void {
    this.#ended = true
    this.#arrived?.()
  }

  async consume(handler: StreamHandler, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { signal } = options
    const wake = () => this.#arrived?.()
    signal?.addEventListener('abort', wake)
    try {
      const stopping = () => signal?.aborted === true
      while (!stopping()) {
        let handled = false
        for (const [number, partition] of this.#partitions.entries()) {
          if (partition.waiting.length === partition.head || stopping()) continue
          await this.#handle(handler, number, partition)
          handled = true
        }
        if (handled) {
          // Requests, signals and models that were fitted meanwhile get their turn.
          await new Promise(setImmediate)
          continue
        }
        if (this.#ended) break
        await new Promise<void>((resolve) => {
          this.#arrived = resolve
        })
        this.#arrived = undefined
        // What else comes in this turn of the event loop joins the batch: concurrent requests cost half as much together.
        await new Promise(setImmediate)
      }
    } finally {
      signal?.removeEventListener('abort', wake)
      for (const [number, partition] of this.#partitions.entries()) {
        if (!partition.assigned) continue
        await handler.releasing([number])
        handler.revoked(number)
        partition.assigned = false
      }
      this.#over = true
      this.#release()
    }
  }

  async #handle(handler: StreamHandler, number: number, partition: Partition<R>): Promise<void> {
    if (!partition.assigned) {
      await handler.assigned(number)
      partition.assigned = true
    }
    const waiting = partition.waiting.slice(partition.head, partition.head + this.#batchSize)
    const records = partition.isolation.take(waiting)
    const batch: RecordBatch = { topic: this.#topic, partition: number, records }
    let produced: readonly OutgoingRecord[]
    try {
      produced = await handler.batch(batch)
    } catch (error) {
      handler.dropped(number)
      this.#blame(partition, records, error)
      return
    }
    try {
      const written = this.#sink(produced, batch)
      if (written !== undefined) await written
    } catch (error) {
      handler.dropped(number)
      throw error
    }
    partition.isSetAside = false
    partition.isolation.passed(records.at(-1)!.offset + 1)
    partition.head += records.length
    if (partition.head === partition.waiting.length || partition.head > 4 * this.#batchSize) {
      partition.waiting = partition.waiting.slice(partition.head)
      partition.head = 0
    }
    this.#waiting -= records.length
    handler.committed(number)
    if (this.#drained.length > 0) this.#release()
  }

  /** Looks for the record that the batch failed on, and puts another in its place when it is found. */
  #blame(partition: Partition<R>, records: readonly R[], error: unknown): void {
    if (isServersFault(error) || partition.isSetAside) throw error
    if (!partition.isolation.failed(records)) return
    const { offset } = records[0]!
    partition.waiting[partition.head] = { ...this.#unprocessable(records[0]!, error), offset }
    partition.isSetAside = true
  }

  #release(): void {
    const waiting = this.#drained
    this.#drained = []
    for (const one of waiting)
      if (this.#over || this.#waiting < one.below) one.resolve()
      else this.#drained.push(one)
  }

  #partitionOf(raw: Buffer | string | null): number {
    if (this.#partitions.length === 1 || raw === null) return 0
    const key = String(raw)
    let hash = 0
    for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0
    return (hash >>> 0) % this.#partitions.length
  }
}
