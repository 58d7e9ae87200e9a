import { AppError } from './errors.ts'

/**
 * The whole of a body, which must not be longer than this: whoever answers with more is not read any further, and the
 * connection is closed. `what` completes "Cannot …".
 */
export async function readBounded(body: AsyncIterable<Uint8Array>, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let length = 0
  // Leaving the loop by an error destroys the stream.
  for await (const chunk of body) {
    length += chunk.length
    if (length > maxBytes) throw tooLong(maxBytes, what)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

export function tooLong(maxBytes: number, what: string): AppError {
  const size = maxBytes >= 1 << 20 ? `${maxBytes >> 20} MiB` : `${maxBytes >> 10} KiB`
  const message = `Cannot ${what}: the answer is longer than ${size}`
  return new AppError('Unavailable', message, { cause: new RangeError(message), retriable: false })
}

export const isTooLong = (error: unknown): boolean => error instanceof AppError && error.cause instanceof RangeError
