import type { OutgoingRecord, RecordBatch } from '../../lib/kafka/records.ts'

/**
 * The stream of events as the data plane sees it: partitions of records in order, handled a batch at a time, each batch
 * and what it produces taking effect together.
 */

/**
 * What is done with the batches of the partitions that this process has been assigned. A partition's calls never
 * overlap.
 */
export interface StreamHandler {
  /** Comes before the first batch of a partition, and again whenever others may have handled it in between. */
  assigned(partition: number): Promise<void>
  /**
   * Answers with the records to produce. They and the batch's offsets take effect together, after which `committed` is
   * called, or not at all: then `dropped` is called and the batch comes again. Several batches may come before either.
   */
  batch(batch: RecordBatch, signal?: AbortSignal): Promise<readonly OutgoingRecord[]>
  committed(partition: number): void
  dropped(partition: number): void
  /** The partitions may belong to another process soon: write now what it should find. */
  releasing(partitions: readonly number[]): Promise<void>
  /** The partition is not this process's any more. */
  revoked(partition: number): void
}

export interface EventStream {
  /** Handles batches until the stream ends or the signal aborts; a batch begun is finished. */
  consume(handler: StreamHandler, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
}
