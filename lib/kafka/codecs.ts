import { promisify } from 'node:util'
import { gunzip, gzip, zstdDecompress } from 'node:zlib'
import { AppError, messageOf } from '../errors.ts'
import { maxBatchBytes } from './record-set.ts'

const codecNames: Readonly<Record<number, string>> = { 1: 'gzip', 2: 'snappy', 3: 'lz4', 4: 'zstd' }
const ungzip = promisify(gunzip)
const unzstd = promisify(zstdDecompress)

/**
 * Decompresses what a producer compressed with one of Kafka's codecs, given by its number in the protocol. No more than
 * `maxBytes` are ever held, whatever the data claim.
 * @throws AppError InvalidArgument, for good: too large, damaged, or of no known codec
 */
export async function decompress(codec: number, bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const name = codecNames[codec]
  if (name === undefined) throw new AppError('InvalidArgument', `Cannot decompress codec ${codec}: it is not known`)
  try {
    if (codec === 1) return await ungzip(bytes, { maxOutputLength: maxBytes })
    if (codec === 4) return await unzstd(bytes, { maxOutputLength: maxBytes })
    return codec === 2 ? decompressSnappy(bytes, maxBytes) : decompressLz4(bytes, maxBytes)
  } catch (error) {
    if (error instanceof AppError) throw error
    if (error instanceof RangeError && codec !== 1 && codec !== 4) throw damaged(name)
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(name, maxBytes)
    throw new AppError('InvalidArgument', `Cannot decompress ${name}: ${messageOf(error)}`, { cause: error })
  }
}

const damaged = (codec: string): AppError =>
  new AppError('InvalidArgument', `Cannot decompress ${codec}: the data is damaged`)
const tooLarge = (codec: string, maxBytes: number): AppError =>
  new AppError('InvalidArgument', `Cannot decompress ${codec}: the data exceeds ${maxBytes} bytes`)

/**
 * Snappy as Kafka carries it: xerial's frames (Java) or one bare block (librdkafka).
 * https://github.com/google/snappy/blob/main/format_description.txt
 */
export function decompressSnappy(bytes: Buffer, maxBytes: number): Buffer {
  const isFramed = bytes.length >= 16 && bytes.readUInt8(0) === 0x82 && bytes.toString('latin1', 1, 8) === 'SNAPPY\0'
  const blocks: Buffer[] = []
  let left = maxBytes
  for (let at = isFramed ? 16 : -4; at < bytes.length; ) {
    const size = isFramed ? bytes.readUInt32BE(at) : bytes.length
    const block = snappyBlock(bytes.subarray(at + 4, at + 4 + size), left)
    if (block === undefined) throw tooLarge('snappy', maxBytes)
    blocks.push(block)
    left -= block.length
    at += 4 + size
  }
  return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks)
}

/** undefined where it would be larger. */
function snappyBlock(bytes: Buffer, maxBytes: number): Buffer | undefined {
  let at = 0
  let size = 0
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]
    if (byte === undefined || shift > 28) throw damaged('snappy')
    size += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) break
  }
  // the format's best ratio is 64 bytes for a copy of 3
  if (size > 22 * bytes.length) throw damaged('snappy')
  if (size > maxBytes) return undefined
  const output = Buffer.allocUnsafe(size)
  let to = 0
  while (at < bytes.length) {
    const tag = bytes[at++]!
    if ((tag & 3) === 0) {
      let length = tag >>> 2
      if (length >= 60) {
        const width = length - 59
        length = bytes.readUIntLE(at, width)
        at += width
      }
      length++
      if (at + length > bytes.length || to + length > size) throw damaged('snappy')
      output.set(bytes.subarray(at, at + length), to)
      at += length
      to += length
      continue
    }
    let length: number
    let distance: number
    if ((tag & 3) === 1) {
      length = ((tag >>> 2) & 7) + 4
      distance = ((tag >>> 5) << 8) | bytes[at++]!
    } else {
      const width = (tag & 3) === 2 ? 2 : 4
      length = (tag >>> 2) + 1
      distance = bytes.readUIntLE(at, width)
      at += width
    }
    to = copyBack(output, to, distance, length, 'snappy')
  }
  if (to !== size) throw damaged('snappy')
  return output
}

/** Repeats `length` bytes from `distance` before `to`; the two may overlap. Gives the new end. */
function copyBack(output: Buffer, to: number, distance: number, length: number, codec: string): number {
  const from = to - distance
  const end = to + length
  if (distance === 0 || from < 0 || end > output.length) throw damaged(codec)
  if (distance >= length) output.copyWithin(to, from, from + length)
  else for (let i = to; i < end; i++) output[i] = output[i - distance]!
  return end
}

/** LZ4 frames, one after the other: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md. Checksums are not checked. */
export function decompressLz4(bytes: Buffer, maxBytes: number): Buffer {
  let output = Buffer.allocUnsafe(Math.min(maxBytes, Math.max(1 << 16, bytes.length * 4)))
  let to = 0
  let at = 0
  while (at < bytes.length) {
    if (bytes.readUInt32LE(at) !== 0x184d2204) throw damaged('lz4')
    const flags = bytes.readUInt8(at + 4)
    const maxBlock = 1 << (8 + 2 * ((bytes.readUInt8(at + 5) >>> 4) & 7))
    at += 7 + (flags & 8 ? 8 : 0) + (flags & 1 ? 4 : 0)
    for (;;) {
      const header = bytes.readUInt32LE(at)
      at += 4
      if (header === 0) break
      const size = header & 0x7fffffff
      if (to + maxBlock > output.length && output.length < maxBytes) {
        const larger = Buffer.allocUnsafe(Math.min(maxBytes, Math.max(output.length * 2, to + maxBlock)))
        output.copy(larger, 0, 0, to)
        output = larger
      }
      const block = bytes.subarray(at, at + size)
      if (block.length !== size || size > maxBlock) throw damaged('lz4')
      const room = output.subarray(0, Math.min(output.length, to + maxBlock))
      const end = header >>> 31 ? copyPlain(block, room, to) : lz4Block(block, room, to)
      if (end === undefined) throw room.length === maxBytes ? tooLarge('lz4', maxBytes) : damaged('lz4')
      to = end
      at += size + (flags & 16 ? 4 : 0)
    }
    at += flags & 4 ? 4 : 0
  }
  return output.subarray(0, to)
}

function copyPlain(block: Buffer, output: Buffer, to: number): number | undefined {
  if (to + block.length > output.length) return undefined
  output.set(block, to)
  return to + block.length
}

/** The new end of the output; undefined where it is too small. */
function lz4Block(block: Buffer, output: Buffer, start: number): number | undefined {
  let to = start
  let at = 0
  const lengthFrom = (nibble: number): number => {
    let length = nibble
    if (nibble === 15) {
      let byte: number
      do {
        byte = block[at++] ?? 0
        length += byte
      } while (byte === 255)
    }
    return length
  }
  while (at < block.length) {
    const token = block[at++]!
    const literals = lengthFrom(token >>> 4)
    if (at + literals > block.length) throw damaged('lz4')
    if (to + literals > output.length) return undefined
    output.set(block.subarray(at, at + literals), to)
    at += literals
    to += literals
    if (at >= block.length) break
    const distance = block.readUInt16LE(at)
    at += 2
    const length = lengthFrom(token & 15) + 4
    if (to + length > output.length) return undefined
    to = copyBack(output, to, distance, length, 'lz4')
  }
  return to
}

/** For kafkajs itself, by their numbers. Nothing here writes compressed; kafkajs can with gzip. */
export const codecs: Readonly<Record<number, () => Codec>> = Object.fromEntries(
  [1, 2, 3, 4].map((codec) => {
    const compress = codec === 1 ? gzipped : refused
    return [codec, () => ({ compress, decompress: (bytes) => decompress(codec, bytes, maxBatchBytes) })]
  }),
)

interface Codec {
  compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>
  decompress(bytes: Buffer): Promise<Buffer>
}

async function gzipped({ buffer }: { readonly buffer: Buffer }): Promise<Buffer> {
  return await promisify(gzip)(buffer)
}

async function refused(): Promise<never> {
  throw new AppError('Internal', 'Cannot compress: this client writes uncompressed records')
}
