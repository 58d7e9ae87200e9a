import type { RecordSet } from './record-set.ts'
import type { KafkaRecord } from './records.ts'

interface PartitionData {
  readonly partition: number
  readonly highWatermark: string
  readonly messages: RecordSet
}

/**
 * What a fetch brought of a partition, as kafkajs' runner wants it. Unlike the stock one it knows where the next fetch
 * begins from the headers of the batches, and comes to the handler whenever that moves: with no records after markers,
 * aborted records and what compaction left. It comes too, with what is wrong, where it stays so that nothing can be read.
 */
export class FetchedBatch {
  readonly topic: string
  readonly partition: number
  readonly highWatermark: string
  readonly fetchedOffset: string
  readonly messages: readonly KafkaRecord[]
  readonly problem: string | undefined
  readonly #nextOffset: number

  constructor(topic: string, fetchedOffset: string, { partition, highWatermark, messages }: PartitionData) {
    this.topic = topic
    this.partition = partition
    this.highWatermark = highWatermark
    this.fetchedOffset = fetchedOffset
    this.messages = messages.records
    this.problem = messages.problem
    this.#nextOffset = messages.nextOffset
  }

  /** Nothing was read: the runner passes it over. */
  isEmpty(): boolean {
    return this.#nextOffset <= Number(this.fetchedOffset) && this.problem === undefined
  }

  /** Such a batch the runner would resolve by itself. */
  isEmptyDueToFiltering(): boolean {
    return false
  }

  firstOffset(): string | null {
    return this.messages.length === 0 ? null : String(this.messages[0]!.offset)
  }

  lastOffset(): string {
    return String(this.#nextOffset - 1)
  }

  offsetLag(): string {
    return String(Number(this.highWatermark) - this.#nextOffset)
  }

  offsetLagLow(): string {
    return String(Number(this.highWatermark) - 1 - Number(this.firstOffset() ?? this.lastOffset()))
  }
}
