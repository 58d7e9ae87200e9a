import type { IncomingMessage } from 'node:http'
import { messageOf } from '../../lib/errors.ts'
import type { Refusal } from './problem.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * The body as text, at most `limit` bytes of it, if it is one of these media types in UTF-8 without content coding.
 * Rejects only when the connection breaks. Reads the chunks itself: express.json() takes twice as long.
 */
export async function readText(
  request: IncomingMessage,
  types: readonly string[],
  limit: number,
): Promise<string | Refusal> {
  const type = request.headers['content-type']
  if (type === undefined || !types.includes(mediaType(type)))
    return unsupported(`Content-Type is ${type ?? 'missing'}; it must be ${types.join(' or ')} in UTF-8`)
  const coding = request.headers['content-encoding']
  if (coding !== undefined && coding !== 'identity')
    return unsupported(`Content-Encoding is ${coding}; bodies are read only without one`)
  if (Number(request.headers['content-length']) > limit) return tooLarge(limit)

  const bytes = await readBytes(request, limit)
  if (bytes === undefined) return tooLarge(limit)
  try {
    return utf8.decode(bytes)
  } catch {
    return { reason: 'MalformedJson', message: 'Cannot read the body: it is not UTF-8' }
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

/** Undefined where there are more bytes than `limit`: the rest then flows by unread, within the server's time-out. */
function readBytes(request: IncomingMessage, limit: number): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= limit) chunks.push(chunk)
      else {
        chunks.length = 0
        resolve(undefined)
      }
    })
    request.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    request.on('error', reject)
  })
}

function unsupported(message: string): Refusal {
  return { reason: 'UnsupportedMediaType', message }
}

function tooLarge(limit: number): Refusal {
  return { reason: 'TooLarge', message: `The body has more than ${limit} bytes` }
}
