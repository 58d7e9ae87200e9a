import type { Rejection } from '../wire/rejection.ts'
import { csvFields, unfinished } from './csv-fields.ts'
import { type CsvOptions, columnsOf, delimiterOf, headerInComment, statedDelimiter } from './csv-header.ts'
import type { InputFile } from './input-files.ts'
import { type InputRecord, recordAt } from './input-record.ts'
import { type Line, longestLine, type ReadOptions, readLines } from './read-lines.ts'

/**
 * A row that cannot be read is rejected alone: reading goes on with the next line, so that a quote that nobody closed
 * costs one row and not the rest of the file.
 *
 * @throws AppError InvalidArgument where the header cannot be read
 */
export async function* readCsv(
  file: InputFile,
  options: ReadOptions & CsvOptions,
): AsyncGenerator<readonly InputRecord[]> {
  const rows = new CsvRows(file, options)
  /** Lines of a row whose end has not been read yet. */
  let pending: readonly Line[] = []
  for await (const lines of readLines(file.path, options)) {
    const records: InputRecord[] = []
    pending = rows.read(pending.length === 0 ? lines : [...pending, ...lines], false, records)
    if (records.length > 0) yield records
  }
  const records: InputRecord[] = []
  rows.read(pending, true, records)
  if (records.length > 0) yield records
}

class CsvRows {
  readonly #file: InputFile
  readonly #options: CsvOptions
  #delimiter: string | undefined
  #columns: readonly string[] | undefined
  #row = 0
  #line = 1

  constructor(file: InputFile, options: CsvOptions) {
    this.#file = file
    this.#options = options
    this.#delimiter = options.delimiter
  }

  /** Adds the records of the lines; gives back those of a row that goes on. */
  read(lines: readonly Line[], isLast: boolean, records: InputRecord[]): readonly Line[] {
    for (let at = 0; at < lines.length; ) {
      if (this.#columns === undefined) {
        const before = this.#beforeHeader(lines[at]!)
        if (before === 'skip') {
          at++
          this.#line++
          continue
        }
        if (before !== undefined) lines = [...lines.slice(0, at), before, ...lines.slice(at + 1)]
      }
      const next = rowAt(lines, at, this.#delimiter!, isLast)
      if (next === undefined) return lines.slice(at)
      if (next.text !== '') this.#add(next, records)
      at += next.taken
      this.#line += next.taken
    }
    return []
  }

  /** Whether a line is only before the header; or the header that is hidden in it. */
  #beforeHeader(line: Line): 'skip' | string | undefined {
    if (typeof line !== 'string') {
      this.#delimiter ??= ','
      return undefined
    }
    if (line.trim() === '') return 'skip'
    const stated = statedDelimiter(line)
    if (stated !== undefined) {
      this.#delimiter ??= stated
      return 'skip'
    }
    const header = line.startsWith('#') ? headerInComment(line, this.#options, this.#file.path) : line
    if (header === undefined) return 'skip'
    this.#delimiter ??= delimiterOf(header, this.#file.path, this.#options.named)
    return header
  }

  #add({ text, fields }: CsvRow, records: InputRecord[]): void {
    const columns = this.#columns
    if (columns === undefined) {
      const at = `${this.#file.path}:${this.#line}`
      const unreadable = typeof text === 'string' ? fields : new Error(text.rejection.message)
      this.#columns = columnsOf(unreadable, this.#options, at)
      return
    }
    const isComment = typeof text === 'string' && text.startsWith('#')
    if (isComment && (fields instanceof Error || fields.length !== columns.length)) return
    records.push(this.#recordOf(text, fields, columns))
  }

  #recordOf(text: Line, fields: CsvRow['fields'], columns: readonly string[]): InputRecord {
    const place = { source: this.#file.source, row: ++this.#row, line: this.#line }
    if (typeof text !== 'string') return { ...recordAt(place, text.text), rejection: text.rejection }
    const record = recordAt(place, text)
    if (fields instanceof Error) return { ...record, rejection: ragged(`the row cannot be read: ${fields.message}`) }
    const { length } = columns
    const isTrailing = fields.length === length + 1 && fields[length] === ''
    if (fields.length !== length && !isTrailing)
      return { ...record, rejection: ragged(`the row has ${fields.length} fields, the header ${length}`) }
    return { ...record, body: bodyOf(columns, fields), text: this.#delimiter === ';' ? 'Comma' : 'Point' }
  }
}

function bodyOf(columns: readonly string[], fields: readonly string[]): Record<string, string> {
  const body: Record<string, string> = {}
  for (let c = 0; c < columns.length; c++) {
    const name = columns[c]!
    if (name === '__proto__') Object.defineProperty(body, name, { value: fields[c], enumerable: true })
    else body[name] = fields[c]!
  }
  return body
}

interface CsvRow {
  readonly text: Line
  readonly fields: readonly string[] | Error
  /** Lines of the row. */
  readonly taken: number
}

const unread = new Error('the row cannot be read')

/** The row that begins at a line; undefined where more lines are needed to tell. */
function rowAt(lines: readonly Line[], at: number, delimiter: string, isLast: boolean): CsvRow | undefined {
  const first = lines[at]!
  if (typeof first !== 'string') return { text: first, fields: unread, taken: 1 }
  let text = first
  let fields = csvFields(text, delimiter)
  let taken = 1
  while (fields === unfinished) {
    const next = lines[at + taken]
    if (at + taken === lines.length && !isLast && text.length <= longestLine) return undefined
    if (typeof next !== 'string' || text.length > longestLine) fields = new Error('a quote is never closed')
    else {
      text += `\n${next}`
      taken++
      if (next.includes('"')) fields = csvFields(text, delimiter)
    }
  }
  return fields instanceof Error ? { text: first, fields, taken: 1 } : { text, fields, taken }
}

function ragged(message: string): Rejection {
  return { reason: 'RaggedRow', message }
}
