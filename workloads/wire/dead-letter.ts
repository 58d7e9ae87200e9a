import type { Headers, TopicPartition } from '../../lib/kafka/records.ts'

/** What leads from a dead letter to its record, and why it is one. */
export interface DeadLetterCause extends TopicPartition {
  readonly reason: string
  /** One line. */
  readonly message: string
  readonly offset: number
}

/**
 * The headers of a dead letter: those of the record as they are, and ours as `anomaly-reason`, `-message`, `-topic`,
 * `-partition`, `-offset`. Where the record brought one of these names, its values come first and ours is the last.
 */
export function deadLetterHeaders(original: Headers | undefined, cause: DeadLetterCause): Headers {
  const headers: Record<string, Headers[string]> = { ...original }
  const { reason, message, topic, partition, offset } = cause
  for (const [name, value] of Object.entries({ reason, message, topic, partition, offset })) {
    const former = headers[`anomaly-${name}`]
    const text = String(value)
    headers[`anomaly-${name}`] = former === undefined ? text : [former, text].flat()
  }
  return headers
}
