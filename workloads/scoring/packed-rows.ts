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

/** Ids of keys as little-endian bytes, likewise. */
export function packIds(ids: Uint32Array): Buffer {
  return Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength)
}

/** What `packIds` packed, copied; undefined where it is not an id for each of so many rows. No id is 0. */
export function unpackIds(bytes: Uint8Array, count: number): Uint32Array | undefined {
  if (bytes.length !== count * Uint32Array.BYTES_PER_ELEMENT) return undefined
  const ids = new Uint32Array(count)
  new Uint8Array(ids.buffer).set(bytes)
  for (let i = 0; i < count; i++) ids[i] ||= 1
  return ids
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
