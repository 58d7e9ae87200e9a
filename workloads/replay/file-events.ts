import type { InputRecord } from '../files/input-record.ts'
import { type DecimalMark, isAbsentCell, numberOfCell } from '../wire/cell-number.ts'
import type { Rejection } from '../wire/rejection.ts'

/** The events of files as JSON, or why they are none. */
export async function* fileEvents(
  batches: AsyncIterable<readonly InputRecord[]>,
): AsyncGenerator<readonly (string | Rejection)[]> {
  for await (const rows of batches) yield rows.map(jsonOf)
}

/** One line of JSON; of CSV an object whose numeric cells are numbers and whose empty ones are absent. */
function jsonOf({ value, body, text, rejection }: InputRecord): string | Rejection {
  if (rejection !== undefined) return rejection
  if (body === undefined) return value!
  const event: Record<string, unknown> = {}
  for (const [name, cell] of Object.entries(body as Record<string, string>))
    if (!isAbsentCell(cell)) event[name] = jsonValue(cell, text ?? 'Point')
  return JSON.stringify(event)
}

/** The number of an account that begins with 0 stays text, and so does one of more digits than a number can hold. */
function jsonValue(cell: string, mark: DecimalMark): number | string {
  if (/^[+-]?0\d/.test(cell)) return cell
  const number = numberOfCell(cell, mark)
  if (number === undefined || Number.isNaN(number)) return cell
  return /^[+-]?\d+$/.test(cell) && !Number.isSafeInteger(number) ? cell : number
}
