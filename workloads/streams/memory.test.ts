import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import type { OutgoingRecord, RecordBatch, StreamRecord } from '../../lib/kafka/records.ts'
import { random } from '../detection/random.ts'
import { MemoryStream, type MemoryStreamOptions } from './memory.ts'
import type { StreamHandler } from './stream.ts'
import { behavesAsStream } from './stream-suite.ts'

const record = (value: string, key: string | null = null) => ({ key, value, timestamp: 0 })

/** Stands in for a record, and says why. */
const unprocessable = (record: StreamRecord, error: unknown) => ({ ...record, value: (error as Error).message })

function handlerOf(batch: StreamHandler['batch']): StreamHandler {
  return {
    async assigned() {},
    batch,
    committed() {},
    dropped() {},
    async releasing() {},
    revoked() {},
  }
}

function open(options: Partial<MemoryStreamOptions> = {}) {
  const batches: RecordBatch[] = []
  const stream = new MemoryStream({ topic: 'events', unprocessable, ...options })
  const handler = handlerOf(async (batch) => {
    batches.push(batch)
    return []
  })
  const values = () => batches.map(({ records }) => records.map(({ value }) => value))
  return { stream, handler, batches, values }
}

describe('MemoryStream', () => {
  behavesAsStream(() => {
    const produced: OutgoingRecord[] = []
    const stream = new MemoryStream({
      topic: 'events',
      partitions: 2,
      unprocessable,
      sink: (records) => {
        produced.push(...records)
      },
    })
    return {
      stream,
      append: (partition, values) => {
        for (const value of values) stream.append(record(value), partition)
      },
      produced: () => produced,
      close: () => stream.end(),
    }
  })

  it('returns when it has ended and all is handled', async () => {
    const { stream, handler, values } = open({ batchSize: 2 })
    for (const value of ['1', '2', '3']) stream.append(record(value))
    stream.end()
    await stream.consume(handler)
    expect(values()).to.deep.equal([['1', '2'], ['3']])
    expect(stream.waiting).to.equal(0)
    expect(() => stream.append(record('4'))).to.throw(RangeError, 'the stream has ended')
  })

  it('returns also when it ends while it waits', async () => {
    const { stream, handler, values } = open()
    const consuming = stream.consume(handler)
    stream.append(record('1'))
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    expect(values()).to.deep.equal([['1']])
    stream.end()
    await consuming
  })

  it('joins what comes in one turn of the event loop into one batch', async () => {
    const { stream, handler, values } = open()
    const consuming = stream.consume(handler)
    await new Promise(setImmediate)
    for (const value of ['1', '2', '3']) stream.append(record(value))
    stream.end()
    await consuming
    expect(values()).to.deep.equal([['1', '2', '3']])
  })

  it('asks for patience at its capacity, and has room again when a batch is handled', async () => {
    const { stream, handler } = open({ batchSize: 2, capacity: 3 })
    stream.append(record('1'))
    stream.append(record('2'))
    expect(stream.room()).to.equal(undefined)
    stream.append(record('3'))
    const room = stream.room()
    expect(room).to.be.instanceOf(Promise)
    const consuming = stream.consume(handler)
    await room
    expect(stream.waiting).to.equal(1)
    stream.end()
    await consuming
  })

  it('leaves nobody waiting for room when the handler fails', async () => {
    const { stream } = open({ batchSize: 1, capacity: 2 })
    for (const value of ['1', '2', '3', '4']) stream.append(record(value))
    const room = stream.room()
    const failing = handlerOf(() => Promise.reject(new AppError('Unavailable', 'the disk is full')))
    const error = await stream.consume(failing).catch((error: Error) => error)
    expect(error).to.have.property('message', 'the disk is full')
    await room
    expect(stream.room()).to.equal(undefined)
  })

  it('sets aside what its handler fails on, record by record, and handles all others once and in order', async () => {
    const fuzzed = random(7)
    for (let round = 0; round < 30; round++) {
      const count = 1 + fuzzed.int(300)
      const bad = new Set(Array.from({ length: fuzzed.int(6) }, () => `${fuzzed.int(count)}`))
      const { stream } = open({ batchSize: 1 + fuzzed.int(100) })
      const done: string[] = []
      let staged: string[] = []
      const handler: StreamHandler = {
        ...handlerOf(async ({ records }) => {
          for (const { value } of records) {
            if (bad.has(String(value))) throw new TypeError(`cannot read ${value}`)
            staged.push(String(value))
          }
          return []
        }),
        committed: () => void done.push(...staged.splice(0)),
        dropped() {
          staged = []
        },
      }
      for (let i = 0; i < count; i++) stream.append(record(`${i}`))
      stream.end()
      await stream.consume(handler)
      const expected = Array.from({ length: count }, (_, i) => (bad.has(`${i}`) ? `cannot read ${i}` : `${i}`))
      expect(done).to.deep.equal(expected)
    }
  })

  it('fails where what stands in for a record fails as well', async () => {
    const { stream } = open()
    stream.append(record('1'))
    const failing = handlerOf(() => Promise.reject(new TypeError('cannot')))
    expect(await stream.consume(failing).catch((error: Error) => error.message)).to.equal('cannot')
    expect(stream.waiting).to.equal(1)
  })

  it('takes a failing sink for a failing batch', async () => {
    let dropped = 0
    const stream = new MemoryStream({ topic: 'events', unprocessable, sink: () => Promise.reject(new Error('no')) })
    const handler = {
      ...handlerOf(async () => []),
      dropped() {
        dropped++
      },
    }
    stream.append(record('1'))
    expect(await stream.consume(handler).catch((error: Error) => error.message)).to.equal('no')
    expect([dropped, stream.waiting]).to.deep.equal([1, 1])
  })

  it('lets others have their turn between batches', async () => {
    const { stream, handler, batches } = open({ batchSize: 1 })
    for (let i = 0; i < 1000; i++) stream.append(record(`${i}`))
    stream.end()
    const consuming = stream.consume(handler)
    await new Promise((resolve) => setTimeout(resolve, 1))
    expect(batches.length).to.be.below(1000)
    await consuming
    expect(batches).to.have.length(1000)
  })

  it('puts records of one key into one partition, and keys into all', async () => {
    const { stream, batches, handler } = open({ partitions: 4 })
    for (let i = 0; i < 200; i++) stream.append(record('', `user-${i % 100}`))
    expect(() => stream.append(record(''), 4)).to.throw(RangeError, 'there is no partition 4')
    stream.end()
    await stream.consume(handler)
    const partitionOf = new Map<string, number>()
    for (const { partition, records } of batches)
      for (const { key } of records) {
        expect(partitionOf.get(String(key)) ?? partition).to.equal(partition)
        partitionOf.set(String(key), partition)
      }
    expect(partitionOf.size).to.equal(100)
    expect(new Set(partitionOf.values()).size).to.equal(4)
  })

  it('says when all is handled, and when nobody will handle the rest', async () => {
    const { stream, handler, batches } = open({ batchSize: 10, capacity: 50 })
    await stream.drained()
    for (let i = 0; i < 100; i++) stream.append(record(`${i}`))
    const consuming = stream.consume(handler)
    await stream.drained()
    expect([batches.length, stream.waiting]).to.deep.equal([10, 0])
    stream.end()
    await consuming
    const failing = new MemoryStream({ topic: 'events', unprocessable, sink: () => Promise.reject(new Error('no')) })
    failing.append(record('1'))
    const drained = failing.drained()
    await failing.consume(handlerOf(async () => [])).catch(() => {})
    await drained
    expect(failing.waiting).to.equal(1)
  })

  it('holds no more than its capacity, however much passes through', async () => {
    const { stream, handler } = open({ batchSize: 10, capacity: 50 })
    const consuming = stream.consume(handler)
    for (let i = 0; i < 5000; i++) {
      stream.append(record('x'.repeat(100)))
      const room = stream.room()
      if (room !== undefined) await room
      expect(stream.waiting).to.be.at.most(50)
    }
    stream.end()
    await consuming
    expect(stream.waiting).to.equal(0)
  })
})
