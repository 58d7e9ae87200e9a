import type { RecordBatch, StreamRecord } from '../../lib/kafka/records.ts'
import { futureTolerance, type Origin } from '../wire/decode.ts'
import { recordKeyText } from '../wire/record-key.ts'

/** Made for every record, and asked by few: most events carry an id and a key. */
export class RecordOrigin implements Origin {
  readonly #record: StreamRecord
  readonly #batch: RecordBatch
  readonly latest = Date.now() + futureTolerance

  constructor(record: StreamRecord, batch: RecordBatch) {
    this.#record = record
    this.#batch = batch
  }

  get id(): string {
    return `${this.#batch.topic}-${this.#batch.partition}-${this.#record.offset}`
  }

  get source(): string {
    return this.#batch.topic
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
