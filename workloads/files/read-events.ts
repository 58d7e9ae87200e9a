import { globSync, type Stats, statSync } from 'node:fs'
import { basename, relative, resolve, sep } from 'node:path'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { StreamRecord } from '../streams/stream.ts'
import type { DecimalMark } from '../wire/cell-number.ts'
import type { Rejection } from '../wire/decode.ts'
import { csvFields, unfinished } from './csv-fields.ts'
import { longestLine, type ReadOptions, readLines } from './read-lines.ts'

export const formats = ['jsonl', 'csv'] as const
export type Format = (typeof formats)[number]

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
  /** The row could not be read. */
  readonly rejection?: Rejection
}

export interface InputFile {
  /** `-` is standard input. */
  readonly path: string
  readonly source: string
  readonly format: Format
  /** Length in bytes; undefined where it is not known beforehand. */
  readonly size: number | undefined
}

/**
 * The files that paths and globs name, sorted within a glob.
 * @throws AppError NotFound, InvalidArgument
 */
export function inputFiles(inputs: readonly string[], format?: Format): readonly InputFile[] {
  const paths = inputs.flatMap((input) => {
    if (input === '-') return [input]
    if (statsOf(input) !== undefined) return [input]
    const found = /[*?[{]/.test(input) ? globSync(input).sort() : []
    if (found.length === 0) throw new AppError('NotFound', `${input}: no such file`)
    return found
  })
  const parent = commonFolder(paths.filter((path) => path !== '-'))
  return paths.map((path) => {
    if (path === '-') return { path, source: '-', format: format ?? 'jsonl', size: undefined }
    const stats = statSync(path)
    if (stats.isDirectory())
      throw new AppError('InvalidArgument', `${path}: is a folder; name files or a glob such as '${path}/*.csv'`)
    return {
      path,
      source: paths.length === 1 ? basename(path) : relative(parent, resolve(path)),
      format: format ?? formatOf(path),
      size: stats.isFile() ? stats.size : undefined,
    }
  })
}

/** The rows of all files, interleaved by position: first rows first. Arrays of rows, for speed. */
export async function* readEvents(
  files: readonly InputFile[],
  options: ReadOptions = {},
): AsyncGenerator<readonly InputRecord[]> {
  if (files.length === 1) {
    yield* readFile(files[0]!, options)
    return
  }
  let open = files.map((file) => ({ rows: readFile(file, options), chunk: [] as readonly InputRecord[], at: 0 }))
  while (open.length > 0) {
    const interleaved: InputRecord[] = []
    while (interleaved.length < 1000 && open.length > 0) {
      let ended = false
      for (const file of open) {
        while (file.at === file.chunk.length) {
          const next = await file.rows.next()
          if (next.done === true) {
            file.at = -1
            ended = true
            break
          }
          file.chunk = next.value
          file.at = 0
        }
        if (file.at >= 0) interleaved.push(file.chunk[file.at++]!)
      }
      if (ended) open = open.filter((file) => file.at >= 0)
    }
    yield interleaved
  }
}

function readFile(file: InputFile, options: ReadOptions): AsyncGenerator<readonly InputRecord[]> {
  return file.format === 'csv' ? readCsv(file, options) : readJsonLines(file, options)
}

async function* readJsonLines(file: InputFile, options: ReadOptions): AsyncGenerator<readonly InputRecord[]> {
  const { source } = file
  let line = 0
  let row = 0
  for await (const lines of readLines(file.path, options)) {
    const rows: InputRecord[] = []
    for (const value of lines) {
      line++
      if (value === undefined) rows.push(tooLong(source, ++row, line))
      else if (value !== '' && (value.charCodeAt(0) > 32 || value.trim() !== ''))
        rows.push({ offset: 0, key: null, value, timestamp: Number.NaN, source, row: ++row, line })
    }
    if (rows.length > 0) yield rows
  }
}

/**
 * A row that cannot be read is rejected alone: reading goes on with the next line, so that a quote that nobody closed
 * costs one row and not the rest of the file.
 *
 * @throws AppError InvalidArgument where the header cannot be read
 */
async function* readCsv(file: InputFile, options: ReadOptions): AsyncGenerator<readonly InputRecord[]> {
  const { path, source } = file
  const delimiter = isTabbed(path) ? '\t' : ','
  let columns: readonly string[] | undefined
  let row = 0
  let line = 1
  /** Lines of a row whose end has not been read yet. */
  let pending: Lines = []

  function recordOf(text: string | undefined, fields: readonly string[] | Error): InputRecord {
    row++
    if (text === undefined) return tooLong(source, row, line)
    const record = { offset: 0, key: null, value: text, timestamp: Number.NaN, source, row, line }
    if (fields instanceof Error) return { ...record, rejection: ragged(`the row cannot be read: ${fields.message}`) }
    const { length } = columns!
    if (fields.length !== length)
      return { ...record, rejection: ragged(`the row has ${fields.length} fields, the header ${length}`) }
    const body: Record<string, string> = {}
    for (let c = 0; c < length; c++) body[columns![c]!] = fields[c]!
    return { ...record, body, text: 'Point' }
  }

  function recordsOf(lines: Lines, isLast: boolean): readonly InputRecord[] {
    const records: InputRecord[] = []
    for (let at = 0; at < lines.length; ) {
      const next = rowAt(lines, at, delimiter, isLast)
      if (next === undefined) {
        pending = lines.slice(at)
        return records
      }
      const { text, fields, taken } = next
      if (text !== '') {
        if (columns === undefined) columns = headerOf(fields, `${path}:${line}`)
        else records.push(recordOf(text, fields))
      }
      at += taken
      line += taken
    }
    pending = []
    return records
  }

  for await (const lines of readLines(path, options)) {
    const records = recordsOf(pending.length === 0 ? lines : [...pending, ...lines], false)
    if (records.length > 0) yield records
  }
  const records = recordsOf(pending, true)
  if (records.length > 0) yield records
}

type Lines = readonly (string | undefined)[]

/** The row that begins at a line, and how many lines it takes; undefined where more lines are needed to tell. */
function rowAt(lines: Lines, at: number, delimiter: string, isLast: boolean) {
  const first = lines[at]
  if (first === undefined) return { text: first, fields: new Error(tooLongMessage), taken: 1 }
  let text = first
  let fields = csvFields(text, delimiter)
  let taken = 1
  while (fields === unfinished) {
    const next = lines[at + taken]
    if (at + taken === lines.length && !isLast && text.length <= longestLine) return undefined
    if (next === undefined || text.length > longestLine) fields = new Error('a quote is never closed')
    else {
      text += `\n${next}`
      taken++
      if (next.includes('"')) fields = csvFields(text, delimiter)
    }
  }
  return fields instanceof Error ? { text: first, fields, taken: 1 } : { text, fields, taken }
}

function headerOf(fields: readonly string[] | Error, at: string): readonly string[] {
  if (fields instanceof Error)
    throw new AppError('InvalidArgument', `${at}: the header cannot be read: ${fields.message}`)
  const twice = fields.find((name, i) => name !== '' && fields.indexOf(name) < i)
  if (twice !== undefined)
    throw new AppError('InvalidArgument', `${at}: two columns are named ${JSON.stringify(twice)}`)
  return fields
}

function ragged(message: string): Rejection {
  return { reason: 'RaggedRow', message }
}

const tooLongMessage = `the row is longer than ${longestLine} characters`

function tooLong(source: string, row: number, line: number): InputRecord {
  const rejection: Rejection = { reason: 'TooLarge', message: tooLongMessage }
  return { offset: 0, key: null, value: null, timestamp: Number.NaN, source, row, line, rejection }
}

/** Undefined where there is no such file. @throws AppError InvalidArgument for what can be no path */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw new AppError('InvalidArgument', `${path}: ${messageOf(error)}`, { cause: error })
  }
}

function formatOf(path: string): Format {
  return /\.csv(\.gz)?$/i.test(path) || isTabbed(path) ? 'csv' : 'jsonl'
}

function isTabbed(path: string): boolean {
  return /\.tsv(\.gz)?$/i.test(path)
}

function commonFolder(paths: readonly string[]): string {
  const folders = paths.map((path) => resolve(path).split(sep).slice(0, -1))
  let length = folders[0]?.length ?? 0
  for (const folder of folders) {
    let same = 0
    while (same < length && folder[same] === folders[0]![same]) same++
    length = same
  }
  return folders[0]?.slice(0, length).join(sep) || sep
}

/** Bytes of all files together; undefined where one's are not known beforehand. */
export function sizeOfAll(files: readonly InputFile[]): number | undefined {
  let sum = 0
  for (const { size } of files) {
    if (size === undefined) return undefined
    sum += size
  }
  return sum
}
