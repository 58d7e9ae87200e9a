import type { KafkaBatch, KafkaRecord, OutgoingRecord, TopicPartition } from '../../lib/kafka/records.ts'

/** What is done with the records of the partitions that this process owns. Nothing of a partition runs at the same time. */
export interface PartitionHandler {
  /**
   * The partition is this process's now and its former owner is fenced; called after every join and every failed
   * transaction, before the committed offset is read. The place to take the state's epoch. Repeated when it throws.
   */
  assigned(of: TopicPartition, signal: AbortSignal): Promise<void>
  /**
   * Records in the order of their offsets, at most `maxRecords`: gives what is to be published with their offsets.
   * Several calls may share a transaction; what they stage becomes real in `committed`, or not, in `dropped`. When it
   * throws, everything since the last commit is dropped and comes again. It ends soon after `signal` is aborted.
   */
  batch(batch: KafkaBatch, signal: AbortSignal): Promise<readonly OutgoingRecord[]>
  /** What was staged up to, not with, this offset is published. */
  committed(of: TopicPartition, nextOffset: number): void
  /** What was staged since the last commit is void. */
  dropped(of: TopicPartition): void
  /** Before each join and the end: another may own them next. Write what it should find. Cut off after some seconds. */
  releasing(partitions: readonly TopicPartition[], signal: AbortSignal): Promise<void>
  /** The partition is not this process's any more. */
  revoked(of: TopicPartition): void
  /** Stands in for a record that alone exceeds what its topic takes. */
  tooLarge(record: OutgoingRecord): OutgoingRecord
  /** Stands in for what comes of a record that `batch` fails on, alone, again and again, and by no server's fault. */
  unprocessable(record: KafkaRecord, of: TopicPartition, error: unknown): OutgoingRecord
  /** The stand-in is published. */
  setAside(record: KafkaRecord, of: TopicPartition, error: unknown): void
}
