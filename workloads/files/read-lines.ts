import { isUtf8 } from 'node:buffer'
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { createGunzip, type Gunzip } from 'node:zlib'
import { AppError, messageOf } from '../../lib/errors.ts'
import { notUtf8 } from '../wire/json-body.ts'
import type { Rejection } from '../wire/rejection.ts'

export interface ReadOptions {
  /** Told of every piece read, in bytes of the file. */
  readonly onBytes?: ((count: number) => void) | undefined
  /** Ends the reading, also where it waits for standard input. */
  readonly signal?: AbortSignal | undefined
}

/** A line without its end, or why it cannot be read. */
export type Line = string | UnreadableLine

export interface UnreadableLine {
  readonly rejection: Rejection
  /** The line as well as it can be shown; null where it is too long. */
  readonly text: string | null
}

/** Characters of a line or row: longer ones are left out, so that no input can exhaust the memory. */
export const longestLine = 1024 * 1024
/** A character takes three bytes at most. */
const longestBytes = 3 * longestLine
const chunkBytes = 1024 * 1024

export const tooLong: UnreadableLine = {
  rejection: { reason: 'TooLarge', message: `the row is longer than ${longestLine} characters` },
  text: null,
}

/**
 * The lines of a file (`-` is standard input, `.gz` is unpacked) in UTF-8, or in UTF-16 with a byte order mark. Arrays of
 * lines, for speed.
 *
 * @throws AppError InvalidArgument where the file cannot be read, or is damaged
 */
export async function* readLines(path: string, options: ReadOptions = {}): AsyncGenerator<readonly Line[]> {
  let rest: Buffer = Buffer.alloc(0)
  let isSkipping = false
  for await (const chunk of utf8Of(bytesOf(path, options))) {
    const end = chunk.lastIndexOf(10) + 1
    const lines: Line[] = []
    if (end > 0) {
      const from = isSkipping ? chunk.indexOf(10) + 1 : 0
      isSkipping = false
      const whole = chunk.subarray(from, end)
      addLines(rest.length === 0 ? whole : Buffer.concat([rest, whole]), lines)
      rest = Buffer.from(chunk.subarray(end))
    } else if (!isSkipping) rest = Buffer.concat([rest, chunk])
    if (rest.length > longestBytes) {
      lines.push(tooLong)
      isSkipping = true
      rest = Buffer.alloc(0)
    }
    if (lines.length > 0) yield lines
  }
  if (rest.length === 0) return
  const lines: Line[] = []
  addLines(rest, lines)
  yield lines
}

/** The lines of bytes that hold whole lines. */
function addLines(bytes: Buffer, lines: Line[]): void {
  if (isUtf8(bytes)) {
    addTextLines(bytes.toString(), lines)
    return
  }
  for (let from = 0; from < bytes.length; ) {
    const next = bytes.indexOf(10, from)
    const to = next < 0 ? bytes.length : next
    const line = bytes.subarray(from, to)
    if (isUtf8(line)) addTextLines(line.toString(), lines)
    else lines.push(line.length > longestBytes ? tooLong : { rejection: notUtf8(line), text: line.toString() })
    from = to + 1
  }
}

function addTextLines(text: string, lines: Line[]): void {
  let from = 0
  for (let to = text.indexOf('\n'); to >= 0; to = text.indexOf('\n', from)) {
    lines.push(lineOf(text, from, to))
    from = to + 1
  }
  if (from < text.length || from === 0) lines.push(lineOf(text, from, text.length))
}

/** Files that were joined have byte order marks within. */
function lineOf(text: string, start: number, to: number): Line {
  const from = text.charCodeAt(start) === 0xfeff ? start + 1 : start
  const end = to > from && text.charCodeAt(to - 1) === 13 ? to - 1 : to
  return end - from > longestLine ? tooLong : text.slice(from, end)
}

/** Bytes of UTF-8, whatever they were before; what UTF-8 cannot write stays unreadable. */
async function* utf8Of(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let start: Buffer | undefined = Buffer.alloc(0)
  let decode: ((chunk: Buffer) => Buffer) | undefined
  for await (const chunk of chunks) {
    let bytes = chunk
    if (start !== undefined) {
      bytes = start.length === 0 ? chunk : Buffer.concat([start, chunk])
      start = bytes.length < 4 ? bytes : undefined
      if (start !== undefined) continue
      decode = utf16Decoder(bytes)
    }
    yield decode === undefined ? bytes : decode(bytes)
  }
  if (start !== undefined && start.length > 0) yield start
}

/** Undefined unless the file begins as UTF-16 does. */
function utf16Decoder(bytes: Buffer): ((chunk: Buffer) => Buffer) | undefined {
  const [first, second] = bytes
  const isLittle = (first === 0xff && second === 0xfe) || (first !== 0 && second === 0)
  const isBig = (first === 0xfe && second === 0xff) || (first === 0 && second !== 0)
  if (!isLittle && !isBig) return undefined
  const decoder = new StringDecoder('utf16le')
  let odd = Buffer.alloc(0)
  return (chunk) => {
    if (isLittle) return encoded(decoder.write(chunk))
    const bytes = Buffer.concat([odd, chunk])
    const even = bytes.length - (bytes.length % 2)
    odd = bytes.subarray(even)
    return encoded(decoder.write(Buffer.from(bytes.subarray(0, even)).swap16()))
  }
}

const neverUtf8 = Buffer.from([0xff])

function encoded(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text)
  const parts = text.split(/\p{Cs}/u).flatMap((part) => [neverUtf8, Buffer.from(part)])
  return Buffer.concat(parts.slice(1))
}

async function* bytesOf(path: string, { onBytes, signal }: ReadOptions): AsyncGenerator<Buffer> {
  const raw: Readable = path === '-' ? process.stdin : createReadStream(path, { highWaterMark: chunkBytes })
  const bytes = /\.gz$/i.test(path) ? createGunzip({ chunkSize: chunkBytes }) : raw
  const stop = () => bytes.destroy()
  signal?.addEventListener('abort', stop)
  try {
    if (onBytes !== undefined) raw.on('data', (chunk: Buffer) => onBytes(chunk.length)).pause()
    if (bytes !== raw) raw.on('error', (error) => bytes.destroy(error)).pipe(bytes as Gunzip)
    for await (const chunk of bytes) yield chunk as Buffer
  } catch (error) {
    if (signal?.aborted === true) return
    const name = path === '-' ? 'standard input' : path
    throw new AppError('InvalidArgument', `${name}: cannot be read: ${messageOf(error)}`, { cause: error })
  } finally {
    signal?.removeEventListener('abort', stop)
    raw.destroy()
  }
}
