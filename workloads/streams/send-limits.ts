import { type OutgoingRecord, sizeOf } from '../../lib/kafka/records.ts'

/** How much one produce request of a partition holds. It starts with what was asked for and learns from refusals. */
export class SendLimits {
  #sendBytes: number
  /** Records of more bytes are replaced: one of this size was refused. */
  #recordBytes = Number.POSITIVE_INFINITY

  constructor(sendBytes: number) {
    this.#sendBytes = sendBytes
  }

  /** The broker refused these as too large: the next try sends less at once; when it was one record, such a record is replaced. */
  tighten(refused: readonly OutgoingRecord[]): void {
    const largest = refused.reduce((max, record) => Math.max(max, sizeOf(record)), 0)
    if (this.#sendBytes > largest) this.#sendBytes = Math.max(largest, Math.floor(this.#sendBytes / 2))
    else this.#recordBytes = largest - 1
  }

  /** The records in order, a request at a time. */
  *split(
    records: readonly OutgoingRecord[],
    tooLarge: (record: OutgoingRecord) => OutgoingRecord,
  ): Generator<readonly OutgoingRecord[]> {
    let send: OutgoingRecord[] = []
    let bytes = 0
    for (let record of records) {
      let size = sizeOf(record)
      if (size > this.#recordBytes) {
        record = tooLarge(record)
        size = sizeOf(record)
      }
      if (bytes + size > this.#sendBytes && send.length > 0) {
        yield send
        send = []
        bytes = 0
      }
      send.push(record)
      bytes += size
    }
    if (send.length > 0) yield send
  }
}
