import { expect } from 'chai'
import { partitionOf } from './partitioner.ts'

describe('partitionOf', () => {
  // org.apache.kafka.common.utils.UtilsTest.testMurmur2; a modulus of 2^31 shows the hash itself
  for (const [key, hash] of [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ] as const) {
    it(`places "${key}" as the Java client does`, () => {
      expect(partitionOf(key, 2 ** 31, 'Murmur2')).to.equal(hash & 0x7fffffff)
      expect(partitionOf(Buffer.from(key), 12, 'Murmur2')).to.equal((hash & 0x7fffffff) % 12)
    })
  }

  it('places keys as librdkafka does with the consistent partitioner', () => {
    expect(partitionOf('123456789', 2 ** 32, 'Crc32')).to.equal(0xcbf43926)
    expect(partitionOf(Buffer.alloc(0), 5, 'Crc32')).to.equal(0)
  })

  it('hashes the bytes of a string, however long and of whatever alphabet', () => {
    for (const key of ['', 'zażółć', '異常', '🚨'.repeat(2000), 'x'.repeat(5000)]) {
      expect(partitionOf(key, 997, 'Murmur2')).to.equal(partitionOf(Buffer.from(key), 997, 'Murmur2'))
      expect(partitionOf(key, 997, 'Crc32')).to.equal(partitionOf(Buffer.from(key), 997, 'Crc32'))
    }
  })
})
