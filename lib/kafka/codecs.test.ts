import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect } from 'chai'
import { decompress, decompressLz4, decompressSnappy } from './codecs.ts'

const xerialHeader = Buffer.concat([
  Buffer.from([0x82]),
  Buffer.from('SNAPPY\0'),
  Buffer.from('0000000100000001', 'hex'),
])
/** One block: the literal "abcd", then copies of 1, 2 and 4 bytes of distance. */
const snappyBlock = Buffer.concat([
  Buffer.from([4 + 8 + 10 + 4]),
  Buffer.from([(4 - 1) << 2]),
  Buffer.from('abcd'),
  Buffer.from([1 | ((8 - 4) << 2), 4]),
  Buffer.from([2 | ((10 - 1) << 2), 1, 0]),
  Buffer.from([3 | ((4 - 1) << 2), 12, 0, 0, 0]),
])
const snappyText = `${'abcd'.repeat(3)}${'d'.repeat(10)}${'cddd'}`

/** A frame of independent blocks of at most 64 KiB, without checksums but the header's. */
function lz4Frame(...blocks: readonly Buffer[]): Buffer {
  const parts = blocks.flatMap((block) => {
    const size = Buffer.alloc(4)
    size.writeUInt32LE(block.length)
    return [size, block]
  })
  return Buffer.concat([Buffer.from('04224d18604000', 'hex'), ...parts, Buffer.alloc(4)])
}
/** Four literals, a match of 20 at distance 4 (an extended length), then the last literals. */
const lz4Block = Buffer.concat([
  Buffer.from([0x4f]),
  Buffer.from('abcd'),
  Buffer.from([4, 0, 1]),
  Buffer.from([0x20]),
  Buffer.from('yz'),
])
const lz4Text = `${'abcd'.repeat(6)}yz`

describe('Kafka codecs', () => {
  it('reads a bare snappy block, as librdkafka writes it', () => {
    expect(String(decompressSnappy(snappyBlock, 1 << 20))).to.equal(snappyText)
  })

  it("reads xerial's snappy frames, as Java writes them", () => {
    const size = Buffer.alloc(4)
    size.writeInt32BE(snappyBlock.length)
    const framed = Buffer.concat([xerialHeader, size, snappyBlock, size, snappyBlock])
    expect(String(decompressSnappy(framed, 1 << 20))).to.equal(snappyText + snappyText)
  })

  it('reads lz4 frames, blocks that refer to earlier ones, and blocks stored as they are', () => {
    const linked = Buffer.concat([Buffer.from([0x02, 26, 0, 0x10]), Buffer.from('!')])
    const frame = lz4Frame(lz4Block, linked)
    expect(String(decompressLz4(frame, 1 << 20))).to.equal(`${lz4Text}abcdab!`)
    expect(String(decompressLz4(Buffer.concat([frame, frame]), 1 << 20))).to.equal(`${lz4Text}abcdab!`.repeat(2))
    const stored = lz4Frame(Buffer.from('as it is'))
    stored.writeUInt32LE((8 | 0x80000000) >>> 0, 7)
    expect(String(decompressLz4(stored, 1 << 20))).to.equal('as it is')
  })

  for (const [codec, read, whole] of [
    ['snappy', decompressSnappy, snappyBlock],
    ['lz4', decompressLz4, lz4Frame(lz4Block)],
  ] as const) {
    it(`ends with an error or with other bytes, whatever happened to ${codec} data`, () => {
      expect(() => read(whole.subarray(0, whole.length - 6), 1 << 20)).to.throw()
      for (let at = 0; at < whole.length; at++) {
        for (const byte of [0x00, 0x7f, 0x80, 0xff]) {
          const bytes = Buffer.from(whole)
          bytes[at] = byte
          try {
            expect(read(bytes, 1 << 23).length).to.be.at.most(1 << 23)
          } catch (error) {
            expect(error).to.be.an('error')
          }
        }
      }
    })
  }

  describe('bounded', () => {
    const megabyte = Buffer.alloc(1 << 20, 'a')
    /** A match of 1 MiB: its length is written as so many 255 and a rest. */
    const lz4Bomb = lz4Frame(
      Buffer.concat([
        Buffer.from([0x1f]),
        Buffer.from('a'),
        Buffer.from([1, 0]),
        Buffer.alloc(4112, 255),
        Buffer.from([0, 0]),
      ]),
    )
    lz4Bomb[5] = 0x70
    const xerial = (count: number): Buffer => {
      const block = Buffer.concat([Buffer.from([4]), Buffer.from([(4 - 1) << 2]), Buffer.from('abcd')])
      const framed = Buffer.concat([Buffer.from([0, 0, 0, block.length]), block])
      return Buffer.concat([xerialHeader, ...Array.from({ length: count }, () => framed)])
    }
    for (const [name, codec, bytes] of [
      ['gzip', 1, gzipSync(megabyte)],
      ['snappy', 2, xerial(1 << 16)],
      ['lz4', 3, lz4Bomb],
      ['zstd', 4, zstdCompressSync(megabyte)],
    ] as const) {
      it(`takes what fits of ${name}, and no byte more`, async () => {
        const { length } = await decompress(codec, bytes, 1 << 22)
        expect(length).to.be.at.least(1 << 18)
        expect((await decompress(codec, bytes, length)).length).to.equal(length)
        const error = await decompress(codec, bytes, length - 1).catch((thrown) => thrown)
        expect(error.message).to.equal(`Cannot decompress ${name}: the data exceeds ${length - 1} bytes`)
      })
    }

    it('says what is wrong with data that are damaged or of no codec', async () => {
      for (const codec of [1, 2, 3, 4, 5, 7]) {
        const error = await decompress(codec, Buffer.from('no such data'), 1000).catch((thrown) => thrown)
        expect(error).to.have.property('code', 'InvalidArgument')
        expect(error.message).to.match(/^Cannot decompress /)
      }
    })
  })
})
