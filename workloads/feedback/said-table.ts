import type { Said } from '../detection/feedback.ts'
import { printable } from '../terminal/status-line.ts'
import { briefReason, formatTime } from '../terminal/wording.ts'

const head = ['SAID (UTC)', 'BY', 'WHAT', 'EVENT', 'KEY', 'PATTERN']

/** What was said of events, a line each. */
export function saidTable(said: readonly Said[]): string {
  if (said.length === 0) return 'Nothing was said\n'
  const rows = [head, ...said.map(rowOf)]
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('')
}

function rowOf({ time, by, label, withdrawnAt, eventId, userId, reasons }: Said): readonly string[] {
  const what = withdrawnAt === null ? label : `${label}, withdrawn ${formatTime(withdrawnAt)}`
  return [formatTime(time), by ?? '–', what, eventId, userId, reasons.map(briefReason).join(', ')].map(printable)
}
