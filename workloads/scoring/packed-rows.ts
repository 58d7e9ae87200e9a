import { createHash } from 'node:crypto'

const bytesPerNumber = Float64Array.BYTES_PER_ELEMENT
const ids = new WeakMap<readonly string[], string>()

/** Tells lists of columns apart: their number and a hash of the names. */
export function schemaIdOf(columns: readonly string[]): string {
  let id = ids.get(columns)
  if (id === undefined) {
    id = `${columns.length}-${createHash('sha256').update(JSON.stringify(columns)).digest('base64url').slice(0, 12)}`
    ids.set(columns, id)
  }
  return id
}

/** The numbers as little-endian bytes, without a copy: valid as long as they do not change. */
export function packNumbers(numbers: Float64Array): Buffer {
  return Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength)
}

/**
 * What `packNumbers` packed, copied: bytes of a message lie anywhere, numbers only at multiples of eight.
 * @throws RangeError where the bytes are no whole numbers
 */
export function unpackNumbers(bytes: Uint8Array): Float64Array<ArrayBuffer> {
  if (bytes.length % bytesPerNumber !== 0) throw new RangeError(`${bytes.length} bytes are no list of float64`)
  const numbers = new Float64Array(bytes.length / bytesPerNumber)
  new Uint8Array(numbers.buffer).set(bytes)
  return numbers
}
