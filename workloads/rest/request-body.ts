import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { ByteBudget, ByteShare } from '../../lib/byte-budget.ts'
import { messageOf } from '../../lib/errors.ts'
import type { Refusal } from './problem.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true })

const decompress = promisify(gunzip)

/** What a chunk costs beside its bytes: bodies may come a byte at a time. */
const chunkBytes = 512
/** A body, its text and the values in it, in its own size, while it is worked on. */
const workedOn = 5

/**
 * Does the work with the body as text, at most `limit` bytes of it, if it is one of these media types in UTF-8, as it is
 * or with gzip; answers with why it did not. Rejects when the connection breaks, or the work does. The budget is held
 * until the work is done. Reads the chunks itself: express.json() takes twice as long.
 */
export async function withText(
  request: IncomingMessage,
  types: readonly string[],
  { limit, budget }: { readonly limit: number; readonly budget: ByteBudget },
  work: (text: string) => Promise<void>,
): Promise<Refusal | undefined> {
  const type = request.headers['content-type']
  if (type === undefined || !types.includes(mediaType(type)))
    return unsupported(`Content-Type is ${type ?? 'missing'}; it must be ${types.join(' or ')} in UTF-8`)
  const coding = request.headers['content-encoding'] ?? 'identity'
  if (coding !== 'identity' && coding !== 'gzip')
    return unsupported(`Content-Encoding is ${coding}; bodies are read as they are or with gzip`)
  if (Number(request.headers['content-length']) > limit) return tooLarge(limit)

  const { promise: refused, resolve: refuse } = Promise.withResolvers<Refusal>()
  const chunks: Buffer[] = []
  const share = budget.open(() => {
    chunks.length = 0
    refuse(tooBusy)
  })
  try {
    const bytes = await Promise.race([bytesOf(request, chunks, coding, limit, share), refused])
    if ('reason' in bytes) return bytes
    if (!share.take((workedOn - 1) * bytes.length)) return tooBusy
    share.keep()
    const text = textOf(bytes)
    if (typeof text !== 'string') return text
    await work(text)
    return undefined
  } finally {
    share.free()
  }
}

function textOf(bytes: Uint8Array): string | Refusal {
  try {
    return utf8.decode(bytes)
  } catch {
    return { reason: 'MalformedJson', message: 'Cannot read the body: it is not UTF-8' }
  }
}

async function bytesOf(
  request: IncomingMessage,
  chunks: Buffer[],
  coding: string,
  limit: number,
  share: ByteShare,
): Promise<Uint8Array | Refusal> {
  const bytes = await readBytes(request, chunks, limit, share)
  if (bytes === undefined) return tooLarge(limit)
  if (coding === 'identity') return bytes
  share.take(limit)
  try {
    return await decompress(bytes, { maxOutputLength: limit })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return tooLarge(limit)
    return { reason: 'MalformedGzip', message: `Cannot decompress the body: ${messageOf(error)}` }
  }
}

export function parseJson(text: string): { readonly value: unknown } | Refusal {
  try {
    return { value: JSON.parse(text) }
  } catch (error) {
    const message = messageOf(error)
    const position = /at position (\d+)/.exec(message)?.[1]
    return {
      reason: 'MalformedJson',
      message: `Cannot parse JSON: ${message}`,
      position: position === undefined ? undefined : Number(position),
    }
  }
}

/** Type and subtype in lower case; empty where the charset is another than UTF-8. */
export function mediaType(header: string): string {
  const end = header.indexOf(';')
  if (end === -1) return header.trim().toLowerCase()
  const charset = /;\s*charset\s*=\s*"?([^\s";]*)/i.exec(header)?.[1]?.toLowerCase()
  return charset === undefined || charset === 'utf-8' || charset === 'utf8'
    ? header.slice(0, end).trim().toLowerCase()
    : ''
}

/**
 * Fills the chunks; undefined where there are more bytes than `limit`, or the share was taken away: the rest then flows by
 * unread, within the server's time-out.
 */
function readBytes(
  request: IncomingMessage,
  chunks: Buffer[],
  limit: number,
  share: ByteShare,
): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    let size = 0
    let isOver = false
    request.on('data', (chunk: Buffer) => {
      if (isOver) return
      size += chunk.length
      isOver = size > limit || !share.take(chunk.length + chunkBytes)
      if (!isOver) chunks.push(chunk)
      else {
        chunks.length = 0
        resolve(undefined)
      }
    })
    request.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    request.on('error', reject)
  })
}

const tooBusy: Refusal = {
  reason: 'Unavailable',
  message: 'The bodies of the requests under way are too large together; send it again, or in smaller parts',
  stored: 'Nothing',
}

function unsupported(message: string): Refusal {
  return { reason: 'UnsupportedMediaType', message }
}

function tooLarge(limit: number): Refusal {
  return { reason: 'TooLarge', message: `The body has more than ${limit} bytes` }
}
