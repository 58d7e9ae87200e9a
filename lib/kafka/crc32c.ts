const crcTables = Array.from({ length: 8 }, () => new Int32Array(256))
for (let i = 0; i < 256; i++) {
  let crc = i
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  crcTables[0]![i] = crc
}
for (let table = 1; table < 8; table++) {
  for (let i = 0; i < 256; i++) {
    const before = crcTables[table - 1]![i]!
    crcTables[table]![i] = (before >>> 8) ^ crcTables[0]![before & 0xff]!
  }
}
const [t0, t1, t2, t3, t4, t5, t6, t7] = crcTables as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]

/** CRC-32C (Castagnoli) of `bytes[from, to)`, eight bytes a step: Kounavis and Berry, "Slicing-by-8" (2005). */
export function crc32c(bytes: Buffer, from: number, to: number): number {
  let crc = -1
  let i = from
  for (; i + 8 <= to; i += 8) {
    const low = crc ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24))
    crc =
      t7[low & 0xff]! ^
      t6[(low >>> 8) & 0xff]! ^
      t5[(low >>> 16) & 0xff]! ^
      t4[low >>> 24]! ^
      t3[bytes[i + 4]!]! ^
      t2[bytes[i + 5]!]! ^
      t1[bytes[i + 6]!]! ^
      t0[bytes[i + 7]!]!
  }
  for (; i < to; i++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[i]!) & 0xff]!
  return (crc ^ -1) >>> 0
}
