import { globSync, type Stats, statSync } from 'node:fs'
import { basename, relative, resolve, sep } from 'node:path'
import { AppError, messageOf } from '../../lib/errors.ts'

export const formats = ['jsonl', 'csv'] as const
export type Format = (typeof formats)[number]

export interface InputFile {
  /** `-` is standard input. */
  readonly path: string
  /** The path relative to what all inputs share; `-` for standard input. */
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

/** Bytes of all files together; undefined where one's are not known beforehand. */
export function sizeOfAll(files: readonly InputFile[]): number | undefined {
  let sum = 0
  for (const { size } of files) {
    if (size === undefined) return undefined
    sum += size
  }
  return sum
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
  return /\.[ct]sv(\.gz)?$/i.test(path) ? 'csv' : 'jsonl'
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
