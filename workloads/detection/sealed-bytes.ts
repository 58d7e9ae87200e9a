const magic = 0x4d4f4e41 // "ANOM" where the first byte is the lowest
const headerLength = 20

/**
 * Wraps a payload so that a reader can tell whose it is and that it is whole: "ANOM", kind (four ASCII characters),
 * format version, payload length, checksum; each 32 bits little-endian.
 */
export function seal(kind: string, version: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headerLength + payload.length)
  const header = new DataView(bytes.buffer)
  header.setUint32(0, magic, true)
  for (let i = 0; i < 4; i++) header.setUint8(4 + i, kind.charCodeAt(i))
  header.setUint32(8, version, true)
  header.setUint32(12, payload.length, true)
  header.setUint32(16, checksum(payload), true)
  bytes.set(payload, headerLength)
  return bytes
}

/**
 * The payload of what `seal` wrote, copied into a buffer of its own.
 * @throws Error that names what is wrong with the bytes
 */
export function unseal(kind: string, version: number, bytes: Uint8Array): Uint8Array {
  const refuse = (reason: string) => new Error(`Cannot read ${kind}: ${reason}`)
  if (bytes.length < headerLength) throw refuse(`${bytes.length} bytes are fewer than its header has`)
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found = String.fromCharCode(...bytes.subarray(4, 8))
  if (header.getUint32(0, true) !== magic) throw refuse('the bytes begin with something else')
  if (found !== kind) throw refuse(`the bytes hold ${JSON.stringify(found)}`)
  const foundVersion = header.getUint32(8, true)
  if (foundVersion !== version) throw refuse(`its format is version ${foundVersion}, this program reads ${version}`)
  const length = header.getUint32(12, true)
  if (length !== bytes.length - headerLength)
    throw refuse(`it should have ${length} bytes after the header and has ${bytes.length - headerLength}`)
  const payload = new Uint8Array(bytes.subarray(headerLength)) // slice of a Buffer is no copy
  if (checksum(payload) !== header.getUint32(16, true)) throw refuse('its checksum does not match: it is damaged')
  return payload
}

/** 32 bits that change with any of the bytes: MurmurHash3 (A. Appleby, 2011), x86_32 with seed 0. */
export function checksum(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const whole = bytes.length & ~3
  let h = 0
  for (let i = 0; i < whole; i += 4) {
    h ^= scramble(view.getUint32(i, true))
    h = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0
  }
  let rest = 0
  for (let i = bytes.length - 1; i >= whole; i--) rest = (rest << 8) | bytes[i]!
  h ^= scramble(rest) ^ bytes.length
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function scramble(word: number): number {
  const k = Math.imul(word, 0xcc9e2d51)
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593)
}
