import type { Rejection } from '../wire/rejection.ts'
import type { InputRecord } from './input-record.ts'
import type { LineWriter } from './line-writer.ts'

/** One line of a rejects file: where the row stood, why it could not be read, and the row as it was. */
export function writeRejection(to: LineWriter, record: InputRecord, rejection: Rejection): void {
  const { source, line, row, value, body } = record
  const { reason, field, message } = rejection
  to.write(JSON.stringify({ source, line, row, reason, field, message, event: value ?? body ?? null }))
}

/** Counts the rejections of a run by their reason. */
export function countReason(rejectedBy: Map<string, number>, reason: string): void {
  rejectedBy.set(reason, (rejectedBy.get(reason) ?? 0) + 1)
}
