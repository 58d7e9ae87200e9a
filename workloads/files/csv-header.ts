import { AppError } from '../../lib/errors.ts'
import { numberOfCell } from '../wire/cell-number.ts'
import { timeOf } from '../wire/event-time.ts'
import { csvFields, unfinished } from './csv-fields.ts'

export interface CsvOptions {
  /** What parts the fields; by default found by the header. */
  readonly delimiter?: string | undefined
  /** Names of the columns that somebody looks for. */
  readonly named?: readonly string[] | undefined
}

/** What is found least in names first. */
const delimiters = ['\t', ',', ';', '|'] as const

/** @throws AppError InvalidArgument unless --delimiter is a character, or the word tab */
export function delimiterArgument(flag: string | undefined): string | undefined {
  if (flag === undefined) return undefined
  const delimiter = flag === 'tab' || flag === '\\t' ? '\t' : flag
  if (delimiter.length === 1 && delimiter !== '"') return delimiter
  throw new AppError('InvalidArgument', `--delimiter ${flag}: must be one character, or tab`)
}

/** The delimiter that a line says it is, as spreadsheets write it: `sep=;`. */
export function statedDelimiter(line: string): string | undefined {
  return /^"?sep=(.)"?$/i.exec(line)?.[1]
}

/** The delimiter that parts a header into most names, of those that find the names that are looked for. */
export function delimiterOf(header: string, path: string, named: readonly string[] = []): string {
  let best = { delimiter: /\.tsv(\.gz)?$/i.test(path) ? '\t' : ',', found: 0, names: 1 }
  for (const delimiter of delimiters) {
    const fields = csvFields(header, delimiter)
    if (fields instanceof Error) continue
    const names = fields === unfinished ? header.split(delimiter) : fields
    const found = names.filter((name) => named.includes(name)).length
    if (found > best.found || (found === best.found && names.length > best.names))
      best = { delimiter, found, names: names.length }
  }
  return best.delimiter
}

/** A header behind the sign of a comment, such as `#time,user,value`; undefined for a comment. */
export function headerInComment(line: string, { delimiter, named = [] }: CsvOptions, path: string): string | undefined {
  const text = line.slice(1).trim()
  const fields = csvFields(text, delimiter ?? delimiterOf(text, path, named))
  const isHeader = Array.isArray(fields) && fields.length > 1 && fields.some((name) => named.includes(name))
  return isHeader ? text : undefined
}

/**
 * The names of columns, each of them once: of those that nobody looks for, the second `note` is `note (2)`.
 *
 * @param at file and line, for messages
 * @throws AppError InvalidArgument where they are none, or two that are looked for have the same
 */
export function columnsOf(
  fields: readonly string[] | Error,
  { named = [] }: CsvOptions,
  at: string,
): readonly string[] {
  if (fields instanceof Error)
    throw new AppError('InvalidArgument', `${at}: the header cannot be read: ${fields.message}`)
  if (named.length > 0 && !fields.some((name) => named.includes(name)) && fields.some(isValue))
    throw new AppError(
      'InvalidArgument',
      `${at}: ${fields.slice(0, 5).join(', ')} are values where the names of the columns belong; begin the file with a header that has ${named.join(', ')}`,
    )
  const seen = new Map<string, number>()
  return fields.map((name) => {
    const count = (seen.get(name) ?? 0) + 1
    seen.set(name, count)
    if (count === 1 || name === '') return name
    if (named.includes(name))
      throw new AppError('InvalidArgument', `${at}: two columns are named ${JSON.stringify(name)}, which is looked for`)
    return `${name} (${count})`
  })
}

function isValue(name: string): boolean {
  if (name === '') return false
  const number = numberOfCell(name, 'Point')
  return (number !== undefined && !Number.isNaN(number)) || !Number.isNaN(timeOf(name))
}
