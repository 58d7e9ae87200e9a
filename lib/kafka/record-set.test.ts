import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect } from 'chai'
import { decompress } from './codecs.ts'
import { type EncodedRecord, encodedBatch, encodedMarker, varInt } from './encoded-batch.ts'
import {
  type AbortedTransaction,
  maxBatchHeaders,
  maxFetchedRecords,
  type ReadOptions,
  readRecordSet,
} from './record-set.ts'

/** Numbers from 0 to 1, the same on each run (mulberry32). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const read = (bytes: Buffer, options: Partial<ReadOptions> = {}) =>
  readRecordSet(bytes, {
    fetchOffset: 0,
    endOffset: 1_000_000,
    aborted: [],
    budget: { bytes: 1 << 25 },
    decompress,
    ...options,
  })

const numbered = (from: number, count: number, value = 'x'): EncodedRecord[] =>
  Array.from({ length: count }, (_, i) => ({ offset: from + i, value: Buffer.from(value) }))

interface Log {
  readonly batches: readonly { readonly bytes: Buffer; readonly firstOffset: number; readonly lastOffset: number }[]
  /** Offsets that a reader of committed records sees, by the definition: of no producer, or committed by its next marker. */
  readonly visible: readonly number[]
  /** In the order in which the broker's index has them: by their markers. */
  readonly aborted: readonly (AbortedTransaction & { readonly lastOffset: number })[]
  readonly stableOffset: number
}

/** What some producers write into one partition at random, and what compaction leaves of it. */
function randomLog(next: () => number): Log {
  const below = (n: number): number => Math.floor(next() * n)
  const producers = Array.from({ length: 1 + below(5) }, (_, i) => BigInt(1000 + i))
  const open = new Map<bigint, { readonly firstOffset: number; readonly offsets: number[] }>()
  const batches: { bytes: Buffer; firstOffset: number; lastOffset: number }[] = []
  const visible: number[] = []
  const aborted: (AbortedTransaction & { lastOffset: number })[] = []
  const compacts = next() < 0.4
  let offset = below(3)
  const put = (bytes: Buffer, count: number): void => {
    batches.push({ bytes, firstOffset: offset, lastOffset: offset + count - 1 })
    offset += count
  }
  for (let steps = 3 + below(40); steps > 0; steps--) {
    const producerId = producers[below(producers.length)]!
    const transaction = open.get(producerId)
    const kind = next()
    if (kind < 0.2 && transaction !== undefined) {
      const isAbort = next() < 0.5
      if (isAbort) aborted.push({ producerId, firstOffset: transaction.firstOffset, lastOffset: offset })
      else visible.push(...transaction.offsets)
      open.delete(producerId)
      put(encodedMarker(offset, producerId, isAbort ? 'Abort' : 'Commit'), 1)
      continue
    }
    const isTransactional = kind < 0.75
    const count = 1 + below(4)
    const kept = numbered(offset, count).filter(() => !compacts || next() < 0.6)
    const codec = next() < 0.2 ? 1 : 0
    const bytes = encodedBatch({
      firstOffset: offset,
      lastOffset: offset + count - 1,
      records: kept,
      producerId: isTransactional || next() < 0.3 ? producerId : -1n,
      isTransactional,
      codec: kept.length === 0 ? 0 : codec,
      ...(codec === 1 && kept.length > 0 ? { compress: (payload: Buffer) => gzipSync(payload) } : {}),
    })
    const offsets = kept.map((record) => record.offset)
    if (!isTransactional) visible.push(...offsets)
    else if (transaction === undefined) open.set(producerId, { firstOffset: offset, offsets })
    else transaction.offsets.push(...offsets)
    put(bytes, count)
  }
  const stableOffset = Math.min(offset, ...Array.from(open.values(), ({ firstOffset }) => firstOffset))
  return { batches, visible: visible.filter((at) => at < stableOffset).sort((a, b) => a - b), aborted, stableOffset }
}

/** As a broker answers: from the batch that has the offset, up to so many bytes, with what was aborted in that range. */
function fetched({ batches, aborted, stableOffset }: Log, fetchOffset: number, bytes: number) {
  const from = batches.findIndex(({ lastOffset }) => lastOffset >= fetchOffset)
  const stable = batches.slice(from).filter(({ firstOffset }) => firstOffset < stableOffset)
  const end = stable.at(-1)?.lastOffset ?? fetchOffset
  const all = Buffer.concat(stable.map((batch) => batch.bytes))
  return {
    bytes: all.subarray(0, Math.max(stable[0]?.bytes.length ?? 0, bytes)),
    aborted: aborted.filter((one) => one.lastOffset >= fetchOffset && one.firstOffset <= end),
  }
}

describe('record sets', () => {
  it('gives keys, values, headers and times of a record', async () => {
    const records = [
      { offset: 5, key: Buffer.from('k'), value: null, timestampDelta: -7 },
      {
        offset: 9,
        value: Buffer.from('v'),
        headers: [
          ['a', Buffer.from('1')],
          ['a', Buffer.from('2')],
          ['__proto__', Buffer.from('3')],
        ] as const,
      },
    ]
    const {
      records: [a, b],
      nextOffset,
    } = await read(encodedBatch({ firstOffset: 5, lastOffset: 11, records }))
    expect({ ...a, headers: { ...a!.headers } }).to.deep.equal({
      offset: 5,
      timestamp: 1_763_836_800_116,
      key: Buffer.from('k'),
      value: null,
      headers: {},
    })
    expect(Object.entries(b!.headers)).to.deep.equal([
      ['a', [Buffer.from('1'), Buffer.from('2')]],
      ['__proto__', Buffer.from('3')],
    ])
    expect(nextOffset).to.equal(12)
    const appended = await read(encodedBatch({ firstOffset: 0, records: numbered(0, 1), isAppendTime: true }))
    expect(appended.records[0]!.timestamp).to.equal(1_763_836_900_456)
  })

  it('hides an aborted transaction that ends after one that began later', async () => {
    const [first, second] = [1n, 2n]
    const transactional = (from: number, producerId: bigint) =>
      encodedBatch({ firstOffset: from, records: numbered(from, 2), producerId, isTransactional: true })
    const bytes = Buffer.concat([
      transactional(0, first),
      transactional(2, second),
      encodedMarker(4, second, 'Abort'),
      transactional(5, first),
      encodedMarker(7, first, 'Abort'),
      encodedBatch({ firstOffset: 8, records: numbered(8, 3) }),
    ])
    const aborted = [
      { producerId: second, firstOffset: 2 },
      { producerId: first, firstOffset: 0 },
    ]
    const { records, nextOffset } = await read(bytes, { aborted })
    expect(records.map(({ offset }) => offset)).to.deep.equal([8, 9, 10])
    expect(nextOffset).to.equal(11)
  })

  it('sees exactly what was committed, whatever producers did and wherever a fetch begins and ends', async () => {
    const next = random(16)
    for (let run = 0; run < 3000; run++) {
      const log = randomLog(next)
      const { firstOffset } = log.batches[0]!
      const start = firstOffset + Math.floor(next() * (log.stableOffset - firstOffset + 1))
      const seen: number[] = []
      let at = start
      for (let fetches = 0; at < log.stableOffset; fetches++) {
        const { bytes, aborted } = fetched(log, at, Math.floor(next() * 600))
        const { records, nextOffset, problem } = await read(bytes, {
          fetchOffset: at,
          aborted,
          endOffset: log.stableOffset,
        })
        seen.push(...records.map(({ offset }) => offset))
        expect(nextOffset, `run ${run}: it goes on`).to.be.greaterThan(at)
        expect(problem).to.equal(undefined)
        at = nextOffset
        expect(fetches).to.be.lessThan(500)
      }
      expect(seen, `run ${run} from ${start}`).to.deep.equal(log.visible.filter((offset) => offset >= start))
    }
  }).timeout(60_000)

  it('goes on behind batches without records, at the start, in the middle, at the end and alone', async () => {
    const empty = (firstOffset: number, lastOffset: number) =>
      encodedBatch({ firstOffset, lastOffset, records: [], producerId: 7n })
    const full = encodedBatch({ firstOffset: 10, records: numbered(10, 2) })
    expect(await read(empty(3, 9), { fetchOffset: 3 })).to.deep.include({ records: [], nextOffset: 10 })
    for (const bytes of [
      [empty(3, 9), full],
      [full, empty(12, 15)],
      [empty(3, 9), full, empty(12, 15)],
    ]) {
      const { records, nextOffset } = await read(Buffer.concat(bytes))
      expect(records.map(({ offset }) => offset)).to.deep.equal([10, 11])
      expect(nextOffset).to.equal(bytes.at(-1) === full ? 12 : 16)
    }
    expect(await read(encodedMarker(4, 1n, 'Commit'), { fetchOffset: 4 })).to.deep.include({
      records: [],
      nextOffset: 5,
    })
  })

  it('leaves out the batch that the broker has cut', async () => {
    const whole = encodedBatch({ firstOffset: 1, records: numbered(1, 50, 'y'.repeat(30)) })
    const after = encodedBatch({ firstOffset: 51, records: numbered(51, 50) })
    for (let cut = 1; cut < after.length; cut++) {
      const bytes = Buffer.concat([whole, after])
      expect(await read(bytes.subarray(0, bytes.length - cut))).to.deep.include({ nextOffset: 51 })
    }
    expect(await read(whole.subarray(0, 40))).to.deep.equal({
      records: [],
      nextOffset: 0,
      problem: 'only 40 bytes of its header came',
    })
    expect((await read(whole.subarray(0, 70))).problem).to.equal(`of its ${whole.length} bytes 70 came`)
  })

  it('gives no more records at once than its limit, and all of them in the end', async () => {
    const count = 2.5 * maxFetchedRecords
    const bytes = Buffer.concat([
      encodedBatch({ firstOffset: 0, records: numbered(0, count, ''), codec: 1, compress: gzipSync }),
      encodedBatch({ firstOffset: count, records: numbered(count, 10) }),
    ])
    const seen: number[] = []
    for (let at = 0; at < count + 10; ) {
      const { records, nextOffset } = await read(bytes, { fetchOffset: at })
      expect(records.length).to.be.within(1, maxFetchedRecords)
      seen.push(...records.map(({ offset }) => offset))
      at = nextOffset
    }
    expect(seen).to.deep.equal(Array.from({ length: count + 10 }, (_, i) => i))
  })

  it('leaves compressed batches for the next fetch when there is no room for them', async () => {
    const packed = (from: number) =>
      encodedBatch({ firstOffset: from, records: numbered(from, 10, 'z'.repeat(100)), codec: 1, compress: gzipSync })
    const { records, nextOffset } = await read(Buffer.concat([packed(0), packed(10), packed(20)]), {
      budget: { bytes: 1500 },
    })
    expect([records.length, nextOffset]).to.deep.equal([20, 20])
  })

  describe('what cannot be read', () => {
    const offsetsOf = (records: readonly { readonly offset: number; readonly unreadable?: string }[]) =>
      records.map(({ offset, unreadable }) => (unreadable === undefined ? offset : `${offset}!`))
    const before = encodedBatch({ firstOffset: 0, records: numbered(0, 1) })
    const after = encodedBatch({ firstOffset: 4, records: numbered(4, 1) })
    const between = (fields: object): Buffer =>
      Buffer.concat([before, encodedBatch({ firstOffset: 1, records: numbered(1, 3), ...fields }), after])

    it('is unreadable record by record where a batch is too large when decompressed', async () => {
      const huge = Buffer.alloc(40 * 1024 * 1024)
      for (const [codec, compress] of [
        [1, gzipSync],
        [4, zstdCompressSync],
      ] as const) {
        const { records, nextOffset } = await read(between({ codec, compress: () => compress(huge) }))
        expect(offsetsOf(records)).to.deep.equal([0, '1!', '2!', '3!', 4])
        expect(records[1]!.unreadable).to.match(/^Cannot read the record batch at offset 1: .* exceeds 33554432 bytes$/)
        expect(nextOffset).to.equal(5)
      }
    })

    it('is unreadable from where the fetch began', async () => {
      const bytes = between({ codec: 1, compress: () => Buffer.from('none') }).subarray(before.length)
      const { records } = await read(bytes, { fetchOffset: 2 })
      expect(offsetsOf(records)).to.deep.equal(['2!', '3!', 4])
    })

    it('is unreadable where the codec is not known, the data are none of it, or the records do not fit', async () => {
      for (const fields of [
        { codec: 7 },
        { codec: 2 },
        { codec: 3 },
        { count: 2_000_000_000 },
        { compress: (payload: Buffer) => payload.subarray(0, payload.length - 1) },
        { compress: (payload: Buffer) => Buffer.concat([payload.subarray(0, 7), varInt(1e12), payload.subarray(8)]) },
      ]) {
        const { records, nextOffset } = await read(between(fields))
        expect(records.filter(({ offset }) => offset === 0 || offset === 4)).to.have.length(2)
        expect(offsetsOf(records).filter((one) => typeof one === 'string')).to.include('3!')
        expect(nextOffset).to.equal(5)
      }
    })

    it('is unreadable where a batch has more headers than its bound, and up to it headers of one name take no time', async () => {
      const headed = (count: number) =>
        read(
          encodedBatch({
            firstOffset: 0,
            records: [{ offset: 0, headers: Array.from({ length: count }, () => ['', Buffer.alloc(0)] as const) }],
          }),
        )
      const [whole] = (await headed(maxBatchHeaders)).records
      expect(whole!.headers[''] as unknown).to.have.length(maxBatchHeaders)
      const { records, nextOffset } = await headed(maxBatchHeaders + 1)
      expect(records[0]!.unreadable).to.match(/record 0 has a wrong number of headers, or too many$/)
      expect(nextOffset).to.equal(1)
    })

    it('is fetched again where only its checksum is wrong, and is unreadable when that stays so', async () => {
      const bytes = between({})
      bytes[before.length + 65]! ^= 1
      expect(await read(bytes))
        .to.have.all.keys('records', 'nextOffset')
        .and.include({ nextOffset: 1 })
      const rest = bytes.subarray(before.length)
      expect(await read(rest, { fetchOffset: 1 })).to.deep.equal({
        records: [],
        nextOffset: 1,
        problem: 'its checksum is wrong',
      })
      const { records, nextOffset } = await read(rest, { fetchOffset: 1, takesDamaged: true, endOffset: 5 })
      expect(offsetsOf(records)).to.deep.equal(['1!', '2!', '3!', 4])
      expect(nextOffset).to.equal(5)
      expect(await read(rest, { fetchOffset: 1, takesDamaged: true, endOffset: 3 })).to.deep.include({
        problem: 'its offsets are 1 to 3, where 1 to 2 should be',
      })
    })

    it('moves nowhere by a first offset, a length or a format that is damaged: it says what is wrong', async () => {
      const batches = [0, 4].map((from) => encodedBatch({ firstOffset: from, records: numbered(from, 4) }))
      const damaged = (which: number, damage: (batch: Buffer) => void): Buffer => {
        const copies = batches.map((batch) => Buffer.from(batch))
        damage(copies[which]!)
        return Buffer.concat(copies)
      }
      const offsetOf = (offset: bigint) => (batch: Buffer) => void batch.writeBigInt64BE(offset, 0)
      for (const [damage, problem] of [
        [offsetOf(2n), 'its offsets are 2 to 5, where 0 to 3 should be'],
        [offsetOf(1n << 50n), `its offsets are ${2 ** 50} to ${2 ** 50 + 3}, where 0 to 3 should be`],
        [offsetOf(-4n), 'its offsets are -4 to -1, where 0 to 3 should be'],
        [(batch: Buffer) => batch.writeInt32BE(2 ** 31 - 1, 8), `of its ${2 ** 31 + 11} bytes 186 came`],
        [(batch: Buffer) => batch.writeInt32BE(-5, 8), 'its length is -5'],
        [(batch: Buffer) => batch.writeInt8(9, 16), 'its format is 9'],
      ] as const) {
        expect(await read(damaged(0, damage), { endOffset: 8 })).to.deep.equal({ records: [], nextOffset: 0, problem })
        const second = await read(damaged(1, damage), { fetchOffset: 0, endOffset: 8 })
        expect([0, 4]).to.include(second.nextOffset)
      }
    })

    it('ends soon with records, unreadable ones or an error, whatever bytes there are', async () => {
      const next = random(7)
      for (let run = 0; run < 3000; run++) {
        const bytes = Buffer.from(
          between({
            compress: (payload: Buffer) => {
              const damaged = Buffer.from(payload)
              for (let i = 0; i < 3; i++) damaged[Math.floor(next() * damaged.length)] = Math.floor(next() * 256)
              return damaged
            },
          }),
        )
        const { nextOffset, records } = await read(bytes)
        expect([nextOffset, records.length <= 5]).to.deep.equal([5, true])
        for (let i = 0; i < 3; i++) bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256)
        expect((await read(bytes)).records.length).to.be.at.most(5)
      }
    }).timeout(30_000)
  })
})
