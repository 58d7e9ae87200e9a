import { expect } from 'chai'
import type { AppError } from './errors.ts'
import { createManualClock } from './manual-clock.ts'
import { backoff, sleep, systemClock, within } from './time.ts'

describe('sleep', () => {
  it('ends when the time has passed, not before', async () => {
    const clock = createManualClock()
    let isOver = false
    void sleep(1000, { clock }).then(() => {
      isOver = true
    })
    await clock.advance(999)
    expect(isOver).to.equal(false)
    await clock.advance(1)
    expect(isOver).to.equal(true)
  })

  it('ends at once when its signal is aborted, before or meanwhile, and leaves no listener and no timer', async () => {
    const clock = createManualClock()
    const stop = new AbortController()
    const sleeping = sleep(1000, { clock, signal: stop.signal })
    stop.abort()
    await sleeping
    await sleep(1000, { clock, signal: stop.signal })
    expect(clock.waiting).to.equal(0)
  })
})

describe('within', () => {
  it('gives what the work gives, and its error', async () => {
    const clock = createManualClock()
    expect(await within(1000, Promise.resolve(1), 'late', clock)).to.equal(1)
    const failing = within(1000, Promise.reject(new RangeError('no')), 'late', clock)
    expect(await failing.catch((error) => error)).to.be.instanceOf(RangeError)
    expect(clock.waiting).to.equal(0)
  })

  it('rejects with DeadlineExceeded when the time has passed', async () => {
    const clock = createManualClock()
    const failing = within(1000, new Promise(() => {}), 'no answer', clock).catch((error: unknown) => error)
    await clock.advance(1000)
    const { code, message } = (await failing) as AppError
    expect({ code, message }).to.deep.equal({ code: 'DeadlineExceeded', message: 'no answer' })
  })

  it('takes an answer that is here already though the process was held up past the deadline', async () => {
    const answer = new Promise((resolve) => setImmediate(() => resolve('here')))
    const taken = within(1, answer, 'late', systemClock)
    const end = performance.now() + 5
    while (performance.now() < end);
    expect(await taken).to.equal('here')
  })
})

describe('backoff', () => {
  const limits = { baseMs: 100, maxMs: 1_000 }

  it('doubles up to its maximum', () => {
    const waits = [1, 2, 3, 4, 5, 100].map((failures) => backoff(failures, { ...limits, random: () => 0 }))
    expect(waits).to.deep.equal([100, 200, 400, 800, 1_000, 1_000])
  })

  it('takes off up to a half at random', () => {
    expect(backoff(2, { ...limits, random: () => 0.5 })).to.equal(150)
    expect(backoff(2, { ...limits, random: () => 0.999 })).to.be.closeTo(100, 1)
  })
})
