export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** A header that occurs several times has a list of values. */
export type Headers = Readonly<Record<string, HeaderValue | readonly HeaderValue[] | undefined>>
type HeaderValue = Buffer | string | null

/** A record of a stream of events, from Kafka or not. */
export interface StreamRecord {
  /** Position in its partition. */
  readonly offset: number
  readonly key: Buffer | string | null
  readonly value: Buffer | string | null
  /** When the stream took the record, in ms since 1970. */
  readonly timestamp: number
  readonly headers?: Headers | undefined
  /** Why there is neither key nor value, where the record could not be read: for a dead letter. */
  readonly unreadable?: string
}

/** Consecutive records of one partition. */
export interface RecordBatch extends TopicPartition {
  readonly records: readonly StreamRecord[]
}

/** A record that was read from Kafka: its key and value are bytes. */
export interface KafkaRecord extends StreamRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Headers
}

/** What a fetch brought of a partition. */
export interface KafkaBatch extends RecordBatch {
  readonly records: readonly KafkaRecord[]
  /** Offset after the last record of the partition when this batch was read. */
  readonly highWatermark: number
  /** Why there is nothing, where the log is damaged. */
  readonly problem?: string | undefined
}

export interface OutgoingRecord {
  readonly topic: string
  /** By default where Murmur2 puts the key; without a key a fixed one. */
  readonly partition?: number | undefined
  readonly key: Buffer | string | null
  readonly value: Buffer | string | null
  readonly headers?: Headers | undefined
}

/** Bytes of a record on the wire, never too few. */
export function sizeOf(record: OutgoingRecord): number {
  let size = 32 + bytesOf(record.key) + bytesOf(record.value)
  if (record.headers === undefined) return size
  for (const [name, value] of Object.entries(record.headers)) {
    for (const one of Array.isArray(value) ? (value as readonly HeaderValue[]) : [value as HeaderValue | undefined]) {
      size += 10 + Buffer.byteLength(name) + bytesOf(one)
    }
  }
  return size
}

function bytesOf(value: HeaderValue | undefined): number {
  return value == null ? 0 : typeof value === 'string' ? Buffer.byteLength(value) : value.length
}
