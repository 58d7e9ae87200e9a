/** How numbers that are text, as in CSV, mark their decimals. */
export type DecimalMark = 'Point' | 'Comma'

/** What tools write for a number that is not there, or is none. */
const absent =
  /^(?:[-+]?nan|#?n\/?a|#n\/a n\/a|<na>|null|none|nil|\\n|-|\?|\.|[-+]?(?:1\.#)?inf(?:inity)?|-?1\.#(?:ind|qnan))$/i
/** 0x10, 0b1 and 0o7 are numbers to JavaScript, and names to everybody else. */
const decimal = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i
const grouped: Readonly<Record<DecimalMark, RegExp>> = {
  Point: /^[-+]?\d{1,3}(?:,\d{3})+\.\d+$/,
  Comma: /^[-+]?\d{1,3}(?:\.\d{3})+,\d+$/,
}
/** No thousands: three digits would follow each comma. */
const surelyDecimal = /^[-+]?(?:0?,\d+|\d+,(?:\d{1,2}|\d{4,}))$/
const withComma = /^[-+]?\d*,\d+(?:e[-+]?\d+)?$/i

/** A cell without a number: blank, NaN, NA, null, inf and their like. */
export function isAbsentCell(cell: string): boolean {
  const text = cell.trim()
  return text === '' || absent.test(text)
}

/** The finite number in a cell; NaN for an absent one; undefined for what is no number. */
export function numberOfCell(cell: string, mark: DecimalMark): number | undefined {
  const text = cell.trim()
  let digits = text
  if (grouped[mark].test(text)) digits = mark === 'Comma' ? text.replaceAll('.', '') : text.replaceAll(',', '')
  if ((mark === 'Comma' ? withComma : surelyDecimal).test(digits)) digits = digits.replace(',', '.')
  if (!decimal.test(digits)) return isAbsentCell(text) ? Number.NaN : undefined
  const number = Number(digits)
  return Number.isFinite(number) ? number : undefined
}
