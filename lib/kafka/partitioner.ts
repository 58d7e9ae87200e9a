import { crc32 } from 'node:zlib'

/** How producers place keys: Murmur2 is Java's and kafkajs' way, Crc32 librdkafka's (`consistent`). */
export const partitioners = ['Murmur2', 'Crc32'] as const
export type Partitioner = (typeof partitioners)[number]

const scratch = Buffer.allocUnsafe(3 * 1024)

/** The partition, of `partitions`, that a producer with this partitioner gives to the key. */
export function partitionOf(key: string | Buffer, partitions: number, partitioner: Partitioner): number {
  if (partitioner === 'Crc32') return crc32(key) % partitions
  if (typeof key !== 'string') return (murmur2(key, key.length) & 0x7fffffff) % partitions
  if (key.length > 1024) return partitionOf(Buffer.from(key), partitions, partitioner)
  return (murmur2(scratch, scratch.write(key)) & 0x7fffffff) % partitions
}

/** 32-bit MurmurHash2 with the seed of `org.apache.kafka.common.utils.Utils.murmur2`. */
function murmur2(bytes: Buffer, length: number): number {
  const m = 0x5bd1e995
  let hash = 0x9747b28c ^ length
  let i = 0
  for (; i + 4 <= length; i += 4) {
    let k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    hash = Math.imul(hash, m) ^ Math.imul(k, m)
  }
  const left = length - i
  if (left === 3) hash ^= bytes[i + 2]! << 16
  if (left >= 2) hash ^= bytes[i + 1]! << 8
  if (left >= 1) hash = Math.imul(hash ^ bytes[i]!, m)
  hash ^= hash >>> 13
  hash = Math.imul(hash, m)
  return hash ^ (hash >>> 15)
}
