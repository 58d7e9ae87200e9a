import { createHash } from 'node:crypto'
import { leadingFeature } from '../detection/episode.ts'
import { expectedValueOf, type JudgedEvent, timeOf } from './history.ts'

/** A verdict to keep; as bytes where it came as such. */
export interface Row extends Omit<JudgedEvent, 'json'> {
  readonly json: Buffer | string
}

/** In the order in which `RowBuffer` writes them. */
export const copiedColumns =
  'published, time, score, threshold, value, expected, is_anomaly, event_id, key, feature, verdict, event'

const columns = 12
/** PGCOPY, no flags, no extension: https://www.postgresql.org/docs/current/sql-copy.html, Binary Format. */
const header = Buffer.from('5047434f50590aff0d0a00', 'hex')
const nothing = -1
/** PostgreSQL counts from 2000. */
const postgresEpoch = Date.UTC(2000, 0, 1)

/** An index takes no longer text, and no text a NUL. What is cut is still told apart; the verdict has it whole. */
const longestText = 600

export function columnText(text: string): string {
  const clean = text.includes('\0') ? text.replaceAll('\0', '\ufffd') : text
  if (clean.length <= longestText) return clean
  return `${clean.slice(0, longestText)}\u2026${createHash('sha256').update(text).digest('hex')}`
}

/** Verdicts as bytes for COPY in binary format. */
export class RowBuffer {
  #bytes = Buffer.allocUnsafe(1 << 20)
  #end = 0
  rows = 0

  constructor() {
    this.#end = header.copy(this.#bytes)
    this.#int32(0)
    this.#int32(0)
  }

  /** @param published milliseconds since 1970 */
  add({ verdict, json, value, event }: Row, published: number): void {
    const { eventId, userId, timestamp, isAnomaly, anomalyScore, threshold } = verdict
    this.#reserve(200)
    this.#end = this.#bytes.writeInt16BE(columns, this.#end)
    this.#time(published)
    this.#time(timeOf(timestamp))
    this.#double(anomalyScore)
    this.#double(threshold)
    this.#double(Number.isFinite(value) ? value : null)
    this.#double(expectedValueOf(verdict))
    this.#int32(1)
    this.#end = this.#bytes.writeUInt8(isAnomaly ? 1 : 0, this.#end)
    this.#text(columnText(eventId))
    this.#text(columnText(userId))
    this.#text(columnText(leadingFeature(verdict)))
    this.#text(json)
    if (event === undefined) this.#int32(nothing)
    else this.#text(event)
    this.rows++
  }

  /** All of it, with its end: nothing is added any more. */
  bytes(): Buffer {
    this.#reserve(2)
    this.#end = this.#bytes.writeInt16BE(-1, this.#end)
    return this.#bytes.subarray(0, this.#end)
  }

  #time(ms: number): void {
    this.#int32(8)
    this.#end = this.#bytes.writeBigInt64BE(BigInt(ms - postgresEpoch) * 1000n, this.#end)
  }

  #double(value: number | null): void {
    this.#int32(value === null ? nothing : 8)
    if (value !== null) this.#end = this.#bytes.writeDoubleBE(value, this.#end)
  }

  #text(text: Buffer | string): void {
    const most = typeof text === 'string' ? 3 * text.length : text.length
    this.#reserve(most + 8)
    const at = this.#end
    const from = at + 4
    const size = typeof text === 'string' ? this.#bytes.write(text, from, 'utf8') : text.copy(this.#bytes, from)
    this.#bytes.writeInt32BE(size, at)
    this.#end = from + size
    this.#reserve(64)
  }

  #int32(value: number): void {
    this.#end = this.#bytes.writeInt32BE(value, this.#end)
  }

  #reserve(size: number): void {
    if (this.#end + size <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#end + size))
    this.#bytes.copy(larger, 0, 0, this.#end)
    this.#bytes = larger
  }
}
