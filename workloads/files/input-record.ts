import type { StreamRecord } from '../../lib/kafka/records.ts'
import type { Feedback } from '../detection/feedback.ts'
import type { DecimalMark } from '../wire/cell-number.ts'
import type { Rejection } from '../wire/rejection.ts'

/** A row of a file or of standard input. */
export interface InputRecord extends StreamRecord {
  readonly key: string | null
  readonly value: string | null
  /** File of the row, relative to what all inputs share; `-` for standard input. */
  readonly source: string
  /** Number of the row in its file, from 1; blank lines and the header do not count. */
  readonly row: number
  /** Line on which the row begins, from 1. */
  readonly line: number
  /** The parsed body, where it is known beforehand: of CSV the fields by column, all of them text. */
  readonly body?: unknown
  readonly text?: DecimalMark
  /** It is no event, but what somebody said of one. */
  readonly feedback?: Feedback
  /** The row could not be read. */
  readonly rejection?: Rejection
}

/** Where a row stands. */
export interface RowPlace {
  readonly source: string
  readonly row: number
  readonly line: number
}

export function recordAt({ source, row, line }: RowPlace, value: string | null): InputRecord {
  return { offset: 0, key: null, value, timestamp: Number.NaN, source, row, line }
}
