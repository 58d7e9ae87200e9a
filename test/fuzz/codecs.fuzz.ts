import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { decompress } from '../../lib/kafka/codecs.ts'
import type { Chance, Fuzz } from './fuzz.ts'

const bound = 1 << 20

/** Literal bytes, then so many more that stood `distance` before. */
interface Step {
  readonly literal: Buffer
  readonly distance: number
  readonly length: number
}

function steps(chance: Chance): { readonly steps: readonly Step[]; readonly plain: Buffer } {
  const all: Step[] = []
  const plain: number[] = []
  for (let n = 1 + chance.int(8); n > 0; n--) {
    const literal = Buffer.from(chance.text(1 + chance.int(chance.pick(4, 20, 400)), 'ab{"x":1,\u007f'))
    plain.push(...literal)
    const distance = 1 + chance.int(Math.min(plain.length, chance.pick(5, 3000)))
    const length = 4 + chance.int(chance.pick(4, 50, 600))
    for (let i = 0; i < length; i++) plain.push(plain[plain.length - distance]!)
    all.push({ literal, distance, length })
  }
  return { steps: all, plain: Buffer.from(plain) }
}

function snappyOf(all: readonly Step[], size: number): Buffer {
  const bytes: number[] = []
  for (; size >= 0x80; size >>>= 7) bytes.push((size & 0x7f) | 0x80)
  bytes.push(size)
  for (const { literal, distance, length } of all) {
    const short = literal.length - 1
    if (short < 60) bytes.push(short << 2)
    else bytes.push(61 << 2, short & 0xff, short >>> 8)
    bytes.push(...literal)
    for (let left = length; left > 0; left -= 64) {
      const part = Math.min(64, left)
      if (part >= 4 && part < 12 && distance < 2048)
        bytes.push(1 | ((part - 4) << 2) | ((distance >>> 8) << 5), distance & 0xff)
      else bytes.push(2 | ((part - 1) << 2), distance & 0xff, distance >>> 8)
    }
  }
  return Buffer.from(bytes)
}

function xerialOf(...blocks: readonly Buffer[]): Buffer {
  const header = Buffer.from('\x82SNAPPY\0\0\0\0\x01\0\0\0\x01', 'latin1')
  return Buffer.concat([header, ...blocks.flatMap((block) => [uint32(block.length).swap32(), block])])
}

function lz4Of(all: readonly Step[]): Buffer {
  const bytes: number[] = []
  const rest = (length: number) => {
    if (length < 15) return
    for (length -= 15; length >= 255; length -= 255) bytes.push(255)
    bytes.push(length)
  }
  for (const { literal, distance, length } of all) {
    bytes.push((Math.min(15, literal.length) << 4) | Math.min(15, length - 4))
    rest(literal.length)
    bytes.push(...literal, distance & 0xff, distance >>> 8)
    rest(length - 4)
  }
  return Buffer.concat([Buffer.from('04224d18604000', 'hex'), uint32(bytes.length), Buffer.from(bytes), uint32(0)])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** Whole data are read up to the bound and not beyond; other data give no more than it, or the codec's own error. */
export const fuzz: Fuzz = {
  name: 'codecs',
  async tryOne(chance) {
    const { steps: all, plain } = steps(chance)
    const snappy = snappyOf(all, plain.length)
    const [codec, bytes, expected] = chance.pick(
      [1, gzipSync(plain), plain],
      [2, snappy, plain],
      [2, xerialOf(snappy, snappy), Buffer.concat([plain, plain])],
      [3, lz4Of(all), plain],
      [3, Buffer.concat([lz4Of(all), lz4Of(all)]), Buffer.concat([plain, plain])],
      [4, zstdCompressSync(plain), plain],
    ) as [number, Buffer, Buffer]
    const message = `codec ${codec}, ${bytes.toString('hex')}`
    expect(expected.equals(await decompress(codec, bytes, expected.length)), message).to.equal(true)
    const beyond = await decompress(codec, bytes, expected.length - 1).catch((error: unknown) => error)
    expect(String(beyond), message).to.match(/the data exceeds \d+ bytes$/)

    const damaged = chance.happens(0.2) ? bytes.subarray(0, chance.int(bytes.length)) : chance.damaged(bytes)
    try {
      const { length } = await decompress(chance.happens(0.05) ? chance.int(8) : codec, damaged, bound)
      expect(length, message).to.be.at.most(bound)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      expect(error.message, message).to.match(/^Cannot decompress [^\n]{1,200}$/)
    }
  },
}
