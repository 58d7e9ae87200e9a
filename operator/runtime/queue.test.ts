import { expect } from 'chai'
import { createManualClock } from '../../lib/manual-clock.ts'
import { createLimiter, createQueue, type QueueOptions, type Result } from './queue.ts'

describe('Queue', () => {
  const clock = () => createManualClock()

  /** A queue whose work is ended by hand; `log` has a line for each beginning. */
  function harness(options: Partial<QueueOptions> = {}) {
    const time = createManualClock()
    const log: string[] = []
    const open = new Map<string, PromiseWithResolvers<Result | undefined>>()
    const queue = createQueue({
      clock: time,
      random: () => 0,
      concurrency: 2,
      backoff: { baseMs: 100, maxMs: 1_000 },
      work(key) {
        log.push(`${time.monotonic()} ${key}`)
        if (open.has(key)) throw new Error(`${key} is worked on twice at once`)
        const work = Promise.withResolvers<Result | undefined>()
        open.set(key, work)
        return work.promise.finally(() => open.delete(key))
      },
      ...options,
    })
    return {
      queue,
      time,
      log,
      async end(key: string, outcome?: Result) {
        open.get(key)?.resolve(outcome)
        await time.advance(0)
      },
      async fail(key: string, error: unknown = new Error('failed')) {
        open.get(key)?.reject(error)
        await time.advance(0)
      },
    }
  }

  it('works on a key once, however often it was added meanwhile', async () => {
    const { queue, log, end } = harness({ concurrency: 1 })
    for (const key of ['a', 'b', 'b', 'b']) queue.add(key)
    expect(queue.depth).to.equal(1)
    await end('a')
    await end('b')
    expect(log).to.deep.equal(['0 a', '0 b'])
  })

  it('works once more on a key that was added while it was worked on, never twice at once', async () => {
    const { queue, log, end } = harness()
    queue.add('a')
    queue.add('a')
    queue.add('a')
    expect([log, queue.active, queue.depth]).to.deep.equal([['0 a'], 1, 0])
    await end('a')
    expect(log).to.deep.equal(['0 a', '0 a'])
    await end('a')
    expect([log.length, queue.active]).to.deep.equal([2, 0])
  })

  it('works on so many keys at once, first come, first served', async () => {
    const { queue, log, end } = harness({ concurrency: 2 })
    for (const key of ['a', 'b', 'c', 'd']) queue.add(key)
    await end('b')
    expect(log).to.deep.equal(['0 a', '0 b', '0 c'])
    await end('a')
    expect(log).to.deep.equal(['0 a', '0 b', '0 c', '0 d'])
  })

  it('comes back later and later to a key that fails, and forgets its failures when it succeeds', async () => {
    const { queue, time, log, fail, end } = harness()
    queue.add('a')
    await fail('a')
    await time.advance(100)
    await fail('a')
    expect(queue.failures('a')).to.equal(2)
    await time.advance(199)
    expect(log).to.deep.equal(['0 a', '100 a'])
    await time.advance(1)
    await end('a')
    expect(queue.failures('a')).to.equal(0)
    queue.add('a')
    await fail('a')
    await time.advance(100)
    expect(log).to.deep.equal(['0 a', '100 a', '300 a', '300 a', '400 a'])
  })

  it('works at once on a key that is added while it waits, and not again when the wait is over', async () => {
    const { queue, time, log, fail, end } = harness()
    queue.add('a')
    await fail('a')
    queue.add('a')
    await end('a')
    await time.advance(10_000)
    expect(log).to.deep.equal(['0 a', '0 a'])
  })

  it('waits as long as an error asks', async () => {
    const { queue, time, log, fail } = harness({ retryAfterMs: (error) => (error as { wait?: number }).wait })
    queue.add('a')
    await fail('a', Object.assign(new Error('busy'), { wait: 5_000 }))
    await time.advance(4_999)
    expect(log).to.have.length(1)
    await time.advance(1)
    expect(log).to.deep.equal(['0 a', '5000 a'])
  })

  it('comes back when the work asks for it, at the earliest moment asked', async () => {
    const { queue, time, log, end } = harness()
    queue.add('a')
    await end('a', { requeueAfterMs: 1_000 })
    queue.addAfter('a', 5_000)
    queue.addAfter('a', 300)
    await time.advance(300)
    await end('a')
    await time.advance(10_000)
    expect(log).to.deep.equal(['0 a', '300 a'])
  })

  it('limits the retries of all keys together', async () => {
    const { queue, time, log, fail } = harness({ concurrency: 100, retryLimit: { burst: 2, perSecond: 1 } })
    for (const key of ['a', 'b', 'c', 'd']) queue.add(key)
    for (const key of ['a', 'b', 'c', 'd']) await fail(key)
    await time.advance(5_000)
    expect(log.slice(4)).to.deep.equal(['100 a', '100 b', '1000 c', '2000 d'])
  })

  it('forgets a key', async () => {
    const { queue, time, log, fail } = harness()
    queue.add('a')
    await fail('a')
    queue.forget('a')
    await time.advance(10_000)
    expect([log.length, queue.failures('a')]).to.deep.equal([1, 0])
  })

  it('tells how long keys waited and work took', async () => {
    const told: unknown[] = []
    const observer = {
      started: (key: string, waitedMs: number) => told.push(['started', key, waitedMs]),
      finished: (key: string, tookMs: number, error?: unknown) =>
        told.push(['finished', key, tookMs, (error as Error)?.message]),
    }
    const { queue, time, end, fail } = harness({ concurrency: 1, observer })
    queue.add('a')
    queue.add('b')
    await time.advance(30)
    await end('a')
    await time.advance(5)
    await fail('b')
    expect(told).to.deep.equal([
      ['started', 'a', 0],
      ['finished', 'a', 30, undefined],
      ['started', 'b', 30],
      ['finished', 'b', 5, 'failed'],
    ])
  })

  it('stops when the work under way has ended, and begins nothing more', async () => {
    const { queue, time, log, end, fail } = harness({ concurrency: 2 })
    for (const key of ['a', 'b', 'c']) queue.add(key)
    queue.add('a')
    queue.addAfter('d', 100)
    let stopped = false
    void queue.stop().then(() => {
      stopped = true
    })
    await end('a')
    expect(stopped).to.equal(false)
    await fail('b')
    expect(stopped).to.equal(true)
    queue.add('e')
    await time.advance(10_000)
    expect(log).to.deep.equal(['0 a', '0 b'])
  })

  it('stops at once when nothing is under way', async () => {
    await createQueue({ clock: clock(), concurrency: 1, work: async () => undefined }).stop()
  })
})

describe('Limiter', () => {
  it('gives a burst, then so many a second', async () => {
    const time = createManualClock()
    const limiter = createLimiter({ burst: 2, perSecond: 4 }, time)
    expect([limiter.reserve(), limiter.reserve(), limiter.reserve(), limiter.reserve()]).to.deep.equal([0, 0, 250, 500])
    await time.advance(500)
    expect(limiter.tryTake()).to.equal(false)
    await time.advance(250)
    expect(limiter.tryTake()).to.equal(true)
    await time.advance(60_000)
    expect([limiter.tryTake(), limiter.tryTake(), limiter.tryTake()]).to.deep.equal([true, true, false])
  })
})
