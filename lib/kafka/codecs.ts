import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import { AppError } from '../errors.ts'

const unzstd = promisify(zstdDecompress)
const damaged = (codec: string): AppError =>
  new AppError('InvalidArgument', `Cannot decompress ${codec}: the data is damaged`)

/**
 * Snappy as Kafka carries it: xerial's frames (Java) or one bare block (librdkafka).
 * https://github.com/google/snappy/blob/main/format_description.txt
 */
export function decompressSnappy(bytes: Buffer): Buffer {
  if (!(bytes.length >= 16 && bytes.readUInt8(0) === 0x82 && bytes.toString('latin1', 1, 8) === 'SNAPPY\0')) {
    return snappyBlock(bytes)
  }
  const blocks: Buffer[] = []
  for (let at = 16; at < bytes.length; ) {
    const size = bytes.readUInt32BE(at)
    blocks.push(snappyBlock(bytes.subarray(at + 4, at + 4 + size)))
    at += 4 + size
  }
  return Buffer.concat(blocks)
}

function snappyBlock(bytes: Buffer): Buffer {
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
export function decompressLz4(bytes: Buffer): Buffer {
  let output = Buffer.allocUnsafe(Math.max(1 << 16, bytes.length * 4))
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
      if (to + maxBlock > output.length) {
        const larger = Buffer.allocUnsafe(Math.max(output.length * 2, to + maxBlock))
        output.copy(larger, 0, 0, to)
        output = larger
      }
      const block = bytes.subarray(at, at + size)
      if (block.length !== size) throw damaged('lz4')
      if (header >>> 31) {
        output.set(block, to)
        to += size
      } else {
        to = lz4Block(block, output, to)
      }
      at += size + (flags & 16 ? 4 : 0)
    }
    at += flags & 4 ? 4 : 0
  }
  return output.subarray(0, to)
}

function lz4Block(block: Buffer, output: Buffer, start: number): number {
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
    if (at + literals > block.length || to + literals > output.length) throw damaged('lz4')
    output.set(block.subarray(at, at + literals), to)
    at += literals
    to += literals
    if (at >= block.length) break
    const distance = block.readUInt16LE(at)
    at += 2
    to = copyBack(output, to, distance, lengthFrom(token & 15) + 4, 'lz4')
  }
  return to
}

/** The codecs that kafkajs lacks, by their number in Kafka's protocol. They read only: nothing here writes compressed. */
export const codecs: Readonly<Record<number, () => { compress(): never; decompress(bytes: Buffer): Promise<Buffer> }>> =
  {
    2: () => ({ compress, decompress: async (bytes) => decompressSnappy(bytes) }),
    3: () => ({ compress, decompress: async (bytes) => decompressLz4(bytes) }),
    4: () => ({ compress, decompress: (bytes) => unzstd(bytes) }),
  }

function compress(): never {
  throw new AppError('Internal', 'Cannot compress: this client writes uncompressed records')
}
