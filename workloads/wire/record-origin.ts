import type { StreamRecord, TopicPartition } from '../../lib/kafka/records.ts'
import { futureTolerance, type Origin } from './decode.ts'
import { recordKeyText } from './record-key.ts'

/** Made for every record, and asked by few: most events carry an id and a key. */
export class RecordOrigin implements Origin {
  readonly #record: StreamRecord
  readonly #of: TopicPartition
  readonly latest = Date.now() + futureTolerance

  constructor(record: StreamRecord, of: TopicPartition) {
    this.#record = record
    this.#of = of
  }

  get id(): string {
    return `${this.#of.topic}-${this.#of.partition}-${this.#record.offset}`
  }

  get source(): string {
    return this.#of.topic
  }

  get recordKey(): string | undefined {
    return recordKeyText(this.#record.key)
  }

  get headers(): StreamRecord['headers'] {
    return this.#record.headers
  }

  get arrival(): number {
    return this.#record.timestamp
  }
}
