import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { createManualClock } from '../../lib/manual-clock.ts'
import type { FlushOutcome, PartitionChanges, PartitionStore } from './state.ts'
import { WriteBehind } from './write-behind.ts'

/** Every promise that can settle by itself has. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString()

interface Flushed {
  readonly at: number
  readonly epoch: number
  readonly keys: Readonly<Record<string, string>>
  readonly features: Readonly<Record<string, string>>
  readonly partition: string | undefined
}

/** A memory of texts, a store that answers as it is told, and what got there. */
function bench(
  options: {
    readonly parkedBytes?: number
    readonly featuresEveryMs?: number
    readonly featuresWidth?: () => number
  } = {},
) {
  const clock = createManualClock()
  const memory = new Map<string, string>()
  const flushed: Flushed[] = []
  /** By the name of a value, how often it was counted. */
  const counts = new Map<string, number>()
  const partials: { readonly at: number; readonly counts: Readonly<Record<string, number>> }[] = []
  const logged: string[] = []
  let fenced = 0
  let answer: FlushOutcome | Error = 'Written'
  let gate: Promise<void> | undefined
  const store: Pick<PartitionStore, 'flush'> = {
    async flush(partition, epoch, { keys, features, partition: shared, partials: parts }: PartitionChanges) {
      expect(partition).to.equal(7)
      const at = clock.monotonic()
      await gate
      if (answer instanceof Error) throw answer
      if (parts !== undefined && parts.size > 0)
        partials.push({
          at,
          counts: Object.fromEntries(Array.from(parts, ([name, { payload }]) => [name, payload[0]!])),
        })
      if (answer !== 'Fenced')
        flushed.push({
          at,
          epoch,
          keys: Object.fromEntries([...keys].map(([key, payload]) => [key, text(payload)!])),
          features: Object.fromEntries(features ?? []),
          partition: text(shared),
        })
      return answer
    },
  }
  const log: Logger = {
    debug: () => {},
    info: (_, message) => void logged.push(message),
    warn: (_, message) => void logged.push(message),
    error: (_, message) => void logged.push(message),
  }
  const behind = new WriteBehind<number>({
    partition: 7,
    epoch: 1000,
    store,
    memory: {
      keys: () => memory.keys(),
      saveKey: (key) => (memory.has(key) ? Buffer.from(memory.get(key)!) : undefined),
      savePartition: () => Buffer.from(`of ${memory.size} keys`),
      partials: () => counts.keys(),
      savePartial: (name) =>
        counts.has(name) ? { payload: Uint8Array.of(counts.get(name)!), isRisky: false } : undefined,
    },
    featuresJson: (x) => JSON.stringify({ x }),
    log,
    onFenced: () => fenced++,
    clock,
    random: () => 0,
    ...options,
  })
  return {
    clock,
    memory,
    flushed,
    logged,
    behind,
    fenced: () => fenced,
    answerWith: (next: FlushOutcome | Error) => {
      answer = next
    },
    /** Answers wait until the returned function is called. */
    stall(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>()
      gate = promise
      return resolve
    },
    partials,
    /** A value is counted in a batch that is committed. */
    count(name: string, isUrgent: boolean): void {
      counts.set(name, 1 + (counts.get(name) ?? 0))
      behind.release([], undefined, new Map([[name, isUrgent]]))
    },
    /** A batch that is committed. */
    learn(changes: Readonly<Record<string, string>>): void {
      behind.hold()
      for (const [key, value] of Object.entries(changes)) memory.set(key, value)
      behind.release(Object.keys(changes))
    },
  }
}

const unavailable = new AppError('Unavailable', 'Redis is unreachable')

describe('WriteBehind', () => {
  it('writes the first change at once and then each key at most once a second, as it is by then', async () => {
    const { clock, flushed, learn } = bench()
    learn({ a: 'a1' })
    await clock.advance(100)
    learn({ a: 'a2', b: 'b1' })
    await clock.advance(100)
    learn({ a: 'a3' })
    await clock.advance(5000)
    expect(flushed).to.deep.equal([
      { at: 0, epoch: 1000, keys: { a: 'a1' }, features: {}, partition: 'of 1 keys' },
      { at: 1000, epoch: 1000, keys: { a: 'a3', b: 'b1' }, features: {}, partition: 'of 2 keys' },
    ])
  })

  it('writes nothing where nothing changed', async () => {
    const { clock, flushed, behind } = bench()
    behind.hold()
    behind.release()
    await clock.advance(5000)
    expect(flushed).to.deep.equal([])
    expect(await behind.flushNow()).to.equal(true)
  })

  it('reads nothing from memory while a batch is in hand', async () => {
    const { clock, flushed, memory, behind, learn } = bench()
    learn({ a: 'a1' })
    await clock.advance(10)
    learn({ a: 'a2' })
    behind.hold()
    memory.set('a', 'not committed')
    await clock.advance(3000)
    expect(flushed.length).to.equal(1)
    memory.set('a', 'a2')
    behind.release()
    await settled()
    expect(flushed.at(-1)!.keys).to.deep.equal({ a: 'a2' })
  })

  it('writes the last features of a key with it', async () => {
    const { clock, flushed, memory, behind } = bench()
    memory.set('a', 'a1')
    behind.release(['a'], new Map([['a', 1]]))
    await clock.advance(1)
    behind.release(['a'], new Map([['a', 2]]))
    behind.release(['a'], new Map([['a', 3]]))
    await clock.advance(1000)
    expect(flushed.map(({ features }) => features)).to.deep.equal([{ a: '{"x":1}' }, { a: '{"x":3}' }])
  })

  it('writes the last features of a key as rarely as it is told to, those of a new key at once', async () => {
    const { clock, flushed, behind } = bench({ featuresEveryMs: 5000 })
    const learn = (key: string, x: number) => behind.release([key], new Map([[key, x]]))
    learn('a', 1)
    for (let x = 2; x <= 12; x++) {
      await clock.advance(500)
      learn('a', x)
      if (x === 4) learn('b', 0)
    }
    expect(flushed.map(({ at, features }) => [at, features])).to.deep.equal([
      [0, { a: '{"x":1}' }],
      [1000, {}],
      [2000, { b: '{"x":0}' }],
      [3000, {}],
      [4000, {}],
      [5000, { a: '{"x":10}' }],
    ])
    await clock.advance(20_000)
    expect(flushed.slice(6).map(({ at, features, keys }) => [at, features, keys])).to.deep.equal([
      [6000, {}, {}],
      [10_000, { a: '{"x":12}' }, {}],
    ])
  })

  it('writes partials as a whole, urgent ones within a second, others as rarely as last features', async () => {
    const { clock, partials, behind, count } = bench({ featuresEveryMs: 5000 })
    for (let i = 0; i < 12; i++) {
      count('calm', false)
      count('risky', true)
      await clock.advance(500)
    }
    expect(behind.pending).to.equal(1)
    expect(partials.map(({ at, counts }) => [at, counts])).to.deep.equal([
      [0, { calm: 1 }],
      [1000, { risky: 2 }],
      [2000, { risky: 4 }],
      [3000, { risky: 6 }],
      [4000, { risky: 8 }],
      [5000, { calm: 10, risky: 10 }],
      [6000, { risky: 12 }],
    ])
    expect(await behind.flushNow()).to.equal(true)
    expect(partials.at(-1)!.counts).to.deep.equal({ calm: 12 })
    expect(behind.pending).to.equal(0)
  })

  it('writes partials again that failed, all of them where the store has lost some, and none that is not complete', async () => {
    const { clock, partials, behind, count, answerWith } = bench()
    answerWith(unavailable)
    count('a', true)
    await clock.advance(500)
    count('a', true)
    answerWith('Refill')
    await clock.advance(5000)
    answerWith('Written')
    await clock.advance(5000)
    count('b', true)
    await clock.advance(5000)
    expect(partials.at(-1)!.counts).to.deep.equal({ b: 1 })
    expect(
      partials.slice(0, 2).map(({ counts }) => counts),
      'as it is by then, and again',
    ).to.deep.equal([{ a: 2 }, { a: 2 }])
    behind.release([], undefined, new Map([['unknown', true]]))
    await clock.advance(5000)
    expect(partials.at(-1)!.counts).to.deep.equal({ b: 1 })
  })

  it('writes features that wait before a hand-over, and again when the store has lost all', async () => {
    const { clock, flushed, behind, answerWith } = bench({ featuresEveryMs: 5000 })
    const learn = (x: number) => behind.release(['a'], new Map([['a', x]]))
    learn(1)
    await clock.advance(100)
    learn(2)
    answerWith('Refill')
    await clock.advance(900)
    answerWith('Written')
    expect(flushed.at(-1)!.features).to.deep.equal({})
    await clock.advance(1000)
    expect(flushed.at(-1)!.features).to.deep.equal({ a: '{"x":2}' })
    learn(3)
    expect(await behind.flushNow()).to.equal(true)
    expect(flushed.at(-1)!.features).to.deep.equal({ a: '{"x":3}' })
  })

  it('writes all that is left before a hand-over, what is on its way first', async () => {
    const { flushed, behind, learn, stall } = bench()
    const go = stall()
    learn({ a: 'a1' })
    learn({ a: 'a2', b: 'b1' })
    const all = behind.flushNow()
    await settled()
    expect(flushed).to.deep.equal([])
    go()
    expect(await all).to.equal(true)
    expect(flushed.map(({ keys }) => keys)).to.deep.equal([{ a: 'a1' }, { a: 'a2', b: 'b1' }])
    expect(behind.pending).to.equal(0)
  })

  it('tries again with back-off while the store is away, and then writes what is in memory by then', async () => {
    const { clock, flushed, logged, behind, answerWith, learn } = bench()
    answerWith(unavailable)
    learn({ a: 'a1', b: 'b1' })
    await clock.advance(500)
    learn({ a: 'a2', c: 'c1' })
    await clock.advance(20_000)
    expect(behind.pending).to.equal(3)
    expect(logged).to.deep.equal(['cannot write state; it stays in memory and is tried again'])
    answerWith('Written')
    await clock.advance(6000)
    expect(Object.assign({}, ...flushed.map(({ keys }) => keys))).to.deep.equal({ a: 'a2', b: 'b1', c: 'c1' })
    expect(behind.pending).to.equal(0)
    expect(logged.at(-1)).to.equal('state is written again')
  })

  it('asks a store that is away less and less often, at least every 5 s', async () => {
    const clock = createManualClock()
    const times: number[] = []
    const counting = new WriteBehind({
      partition: 0,
      epoch: 1,
      store: {
        async flush() {
          times.push(clock.monotonic())
          throw unavailable
        },
      },
      memory: { keys: () => [], saveKey: () => Buffer.from('x'), savePartition: () => Buffer.from('x') },
      log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
      onFenced: () => {},
      clock,
      random: () => 0,
    })
    counting.release(['a'])
    await clock.advance(18_000)
    expect(times).to.deep.equal([0, 1000, 3000, 7000, 12_000, 17_000])
  })

  it('gives up a hand-over when the store stays away, and says so', async () => {
    const { clock, behind, answerWith, learn } = bench()
    answerWith(unavailable)
    learn({ a: 'a1' })
    let answered: boolean | undefined
    void behind.flushNow({ timeoutMs: 2000 }).then((all) => {
      answered = all
    })
    await clock.advance(1900)
    expect(answered).to.equal(undefined)
    await clock.advance(200)
    expect(answered).to.equal(false)
    expect(behind.pending).to.equal(1)
  })

  it('hands over when the store comes back in time', async () => {
    const { clock, flushed, behind, answerWith, learn } = bench()
    answerWith(unavailable)
    learn({ a: 'a1' })
    let answered: boolean | undefined
    void behind.flushNow({ timeoutMs: 2000 }).then((all) => {
      answered = all
    })
    await clock.advance(500)
    answerWith('Written')
    await clock.advance(1400)
    expect(answered).to.equal(true)
    expect(flushed.map(({ keys }) => keys)).to.deep.equal([{ a: 'a1' }])
  })

  it('writes all of memory again when the store has lost it', async () => {
    const { clock, flushed, answerWith, learn } = bench()
    learn({ a: 'a1', b: 'b1' })
    await clock.advance(2000)
    answerWith('Refill')
    learn({ c: 'c1' })
    await settled()
    answerWith('Written')
    await clock.advance(2000)
    expect(flushed.map(({ keys }) => keys)).to.deep.equal([
      { a: 'a1', b: 'b1' },
      { c: 'c1' },
      { a: 'a1', b: 'b1', c: 'c1' },
    ])
  })

  it('writes a large memory in portions, without waiting between them', async () => {
    const { clock, flushed, learn } = bench()
    learn(Object.fromEntries(Array.from({ length: 25_000 }, (_, i) => [`k${i}`, 'x'])))
    await clock.advance(10)
    expect(flushed.map(({ keys }) => Object.keys(keys).length)).to.deep.equal([10_000, 10_000, 5000])
  })

  it('tells its owner once when it is fenced, and writes nothing more', async () => {
    const { clock, flushed, fenced, behind, answerWith, learn } = bench()
    answerWith('Fenced')
    learn({ a: 'a1' })
    await settled()
    expect(fenced()).to.equal(1)
    answerWith('Written')
    learn({ a: 'a2' })
    await clock.advance(5000)
    expect(await behind.flushNow()).to.equal(false)
    expect([fenced(), flushed.length]).to.deep.equal([1, 0])
  })

  it('goes on under a new epoch with what is not written yet', async () => {
    const { clock, flushed, behind, learn } = bench()
    learn({ a: 'a1', b: 'b1' })
    await clock.advance(10)
    learn({ a: 'a2' })
    behind.renew(2000)
    await clock.advance(2000)
    expect(flushed.map(({ epoch, keys }) => [epoch, keys])).to.deep.equal([
      [1000, { a: 'a1', b: 'b1' }],
      [2000, { a: 'a2' }],
    ])
  })

  it('keeps what an evicted key had learnt until it is written', async () => {
    const { clock, flushed, memory, behind, learn } = bench()
    learn({ a: 'a1' })
    await clock.advance(10)
    learn({ a: 'a2' })
    behind.evicting('a')
    memory.delete('a')
    expect(text(behind.recall('a'))).to.equal('a2')
    memory.set('a', 'a2')
    behind.evicting('a')
    memory.delete('a')
    await clock.advance(2000)
    expect(flushed.at(-1)!.keys).to.deep.equal({ a: 'a2' })
    expect(behind.recall('a'), 'the store has it').to.equal(undefined)
  })

  it('keeps what an evicted key had learnt when its flush fails on the way', async () => {
    const { clock, flushed, memory, behind, answerWith, learn, stall } = bench()
    const go = stall()
    answerWith(unavailable)
    learn({ a: 'a1' })
    behind.evicting('a')
    memory.delete('a')
    go()
    await settled()
    expect(text(behind.recall('a'))).to.equal('a1')
    memory.set('a', 'a1')
    answerWith('Written')
    await clock.advance(2000)
    expect(flushed.at(-1)!.keys).to.deep.equal({ a: 'a1' })
  })

  it('need not keep an evicted key that is written', async () => {
    const { clock, memory, behind, learn } = bench()
    learn({ a: 'a1' })
    await clock.advance(10)
    behind.evicting('a')
    memory.delete('a')
    expect(behind.recall('a')).to.equal(undefined)
  })

  it('holds evicted keys within its limit and counts what it lost', async () => {
    const { clock, memory, behind, answerWith, learn } = bench({ parkedBytes: 10 })
    answerWith(unavailable)
    learn({ a: '4444', b: '4444', c: '4444' })
    await clock.advance(10)
    for (const key of ['a', 'b', 'c']) {
      behind.evicting(key)
      memory.delete(key)
    }
    expect(['a', 'b', 'c'].map((key) => text(behind.recall(key)))).to.deep.equal([undefined, '4444', '4444'])
    expect(behind.lost).to.equal(1)
    expect(behind.pending, 'names of lost keys are forgotten too').to.equal(2)
  })

  for (const [width, most] of [
    [10, 50_000],
    [1000, 4000],
  ] as const) {
    it(`keeps the last features of the latest ${most} keys where they are ${width} numbers and the store is away`, async () => {
      const { clock, flushed, behind, answerWith } = bench({ featuresWidth: () => width })
      answerWith(unavailable)
      for (let batch = 0; batch < 60_000; batch += 2000) {
        behind.hold()
        behind.release([], new Map(Array.from({ length: 2000 }, (_, i) => [`k${batch + i}`, batch + i])))
        await clock.advance(10)
      }
      answerWith('Written')
      await clock.advance(10_000)
      const keys = flushed.flatMap(({ features }) => Object.keys(features))
      expect(keys).to.deep.equal(Array.from({ length: most }, (_, i) => `k${60_000 - most + i}`))
    })
  }

  it('stops when closed', async () => {
    const { clock, flushed, behind, learn } = bench()
    learn({ a: 'a1' })
    await clock.advance(10)
    learn({ a: 'a2' })
    await behind.close()
    await clock.advance(5000)
    expect(flushed.length).to.equal(1)
  })
})
