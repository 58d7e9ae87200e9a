import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { createGunzip, type Gunzip } from 'node:zlib'
import { AppError, messageOf } from '../../lib/errors.ts'

export interface ReadOptions {
  /** Told of every piece read, in bytes of the file. */
  readonly onBytes?: (count: number) => void
  /** Ends the reading, also where it waits for standard input. */
  readonly signal?: AbortSignal | undefined
}

/** Characters of a line or row: longer ones are left out, so that no input can exhaust the memory. */
export const longestLine = 1024 * 1024
const chunkBytes = 1024 * 1024

/**
 * The lines of a file (`-` is standard input, `.gz` is unpacked) without their ends; undefined for one that is too
 * long. Arrays of lines, for speed.
 *
 * @throws AppError InvalidArgument where the file cannot be read, or is damaged
 */
export async function* readLines(
  path: string,
  options: ReadOptions = {},
): AsyncGenerator<readonly (string | undefined)[]> {
  let rest = ''
  let skipping = false
  for await (const chunk of textOf(path, options)) {
    const text = rest === '' ? chunk : rest + chunk
    const lines: (string | undefined)[] = []
    let from = 0
    for (let to = text.indexOf('\n'); to >= 0; to = text.indexOf('\n', from)) {
      if (skipping) skipping = false
      else lines.push(lineOf(text, from, to))
      from = to + 1
    }
    rest = from === 0 ? text : text.slice(from)
    if (rest.length > longestLine) {
      if (!skipping) lines.push(undefined)
      skipping = true
      rest = ''
    }
    if (lines.length > 0) yield lines
  }
  if (rest !== '' && !skipping) yield [lineOf(rest, 0, rest.length)]
}

function lineOf(text: string, from: number, to: number): string | undefined {
  const end = to > from && text.charCodeAt(to - 1) === 13 ? to - 1 : to
  return end - from > longestLine ? undefined : text.slice(from, end)
}

/** The text of a file in pieces, without a byte order mark. */
async function* textOf(path: string, { onBytes, signal }: ReadOptions): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8')
  const raw: Readable = path === '-' ? process.stdin : createReadStream(path, { highWaterMark: chunkBytes })
  const bytes = /\.gz$/i.test(path) ? createGunzip({ chunkSize: chunkBytes }) : raw
  const stop = () => bytes.destroy()
  signal?.addEventListener('abort', stop)
  try {
    if (onBytes !== undefined) raw.on('data', (chunk: Buffer) => onBytes(chunk.length)).pause()
    if (bytes !== raw) raw.on('error', (error) => bytes.destroy(error)).pipe(bytes as Gunzip)
    for await (const chunk of bytes) yield decoder.decode(chunk as Buffer, { stream: true })
    yield decoder.decode()
  } catch (error) {
    if (signal?.aborted === true) return
    const name = path === '-' ? 'standard input' : path
    throw new AppError('InvalidArgument', `${name}: cannot be read: ${messageOf(error)}`, { cause: error })
  } finally {
    signal?.removeEventListener('abort', stop)
    raw.destroy()
  }
}
