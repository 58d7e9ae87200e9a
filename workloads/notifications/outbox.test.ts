import { expect } from 'chai'
import { Registry } from 'prom-client'
import { createManualClock } from '../../lib/manual-clock.ts'
import { notificationMetrics } from './notification-metrics.ts'
import { Outbox, windowMs } from './outbox.ts'
import type { OutgoingRequest, Receiver } from './receiver.ts'
import type { Failure } from './send.ts'
import { message, start } from './test-episode.ts'
import { webhook } from './webhook.ts'

const second = 1000
const hour = 3600 * second

describe('An outbox', () => {
  const busy = (retryAfterMs?: number): Failure => ({
    reason: 'Busy',
    message: 'it answers 503',
    isFinal: false,
    retryAfterMs,
  })
  const refused: Failure = { reason: 'Refused', message: 'it answers 400', isFinal: true }
  const stops: AbortController[] = []
  afterEach(() => {
    for (const stop of stops.splice(0)) stop.abort()
  })

  /** @param answers to the next tries; taken afterwards */
  function open(answers: (Failure | 'hang')[] = [], change: Partial<Receiver> = {}) {
    const clock = createManualClock(start)
    const registry = new Registry()
    const lines: string[] = []
    const line = (_: object, text: string) => void lines.push(text)
    const tries: { readonly ids: readonly string[]; readonly at: number }[] = []
    const own = webhook({
      url: 'http://localhost',
      hmacKey: undefined,
      headers: {},
      tellsClosed: true,
      subject: { namespace: 'shop', pipeline: 'payments', externalUrl: undefined },
    })
    const outbox = new Outbox({
      name: 'hook',
      receiver: { ...own, ...change },
      metrics: notificationMetrics(registry, () => new Map()),
      clock,
      log: { debug: line, info: line, warn: line, error: line },
      random: () => 0,
      async send(request: OutgoingRequest, { signal }) {
        tries.push({ ids: request.messages.map(({ episode }) => episode.episodeId), at: clock.monotonic() })
        const answer = answers.shift()
        if (answer !== 'hang') return answer
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
        return busy()
      },
    })
    const stop = new AbortController()
    stops.push(stop)
    const running = outbox.run(stop.signal)
    const opened = (...ids: readonly string[]) => ids.map((id) => message('Opened', { episodeId: id }))
    return { clock, outbox, tries, lines, registry, stop, running, opened }
  }
  const many = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `e${from + i}`)

  it('sends in order and settles each with nothing', async () => {
    const { clock, outbox, tries, opened, registry } = open()
    const told = outbox.offer(opened('a', 'b'))
    expect(outbox.waiting).to.equal(2)
    await clock.advance(second)
    expect(await told).to.deep.equal([undefined, undefined])
    expect(tries.map(({ ids }) => ids)).to.deep.equal([['a'], ['b']])
    expect(outbox.waiting).to.equal(0)
    expect(await registry.metrics()).to.include('anomaly_notifications_sent_total{receiver="hook"} 2')
  })

  it('tells a storm in as few requests as the receiver makes of it, and one by one after the window', async () => {
    const { clock, outbox, tries, opened } = open()
    const told = [outbox.offer(opened(...many(100))), outbox.offer(opened(...many(100, 100)))]
    await clock.advance(second)
    expect(tries.map(({ ids }) => ids.length)).to.deep.equal([200])
    told.push(outbox.offer(opened('late')))
    await clock.advance(windowMs - 2 * second)
    expect(tries.length).to.equal(1)
    await clock.advance(2 * second)
    expect(tries.map(({ ids }) => ids.length)).to.deep.equal([200, 1])
    await Promise.all(told)
  })

  it('tells no more one by one than fit into the window, however they trickle in', async () => {
    const { clock, outbox, tries, opened } = open()
    for (const id of many(20)) {
      void outbox.offer(opened(id))
      await clock.advance(second)
    }
    await clock.advance(windowMs)
    expect(tries.map(({ ids }) => ids.length)).to.deep.equal([1, 1, 1, 1, 1, 15])
  })

  it('does not tell of an episode that has become part of the stream’s before it was told', async () => {
    const { clock, outbox, tries } = open()
    const told = outbox.offer([
      message('Opened', { episodeId: 'a' }),
      message('Opened', { episodeId: 'stream:b', userId: null }),
      message('Closed', { episodeId: 'a', partOf: 'stream:b' }),
      message('Closed', { episodeId: 'told before', partOf: 'stream:b' }),
    ])
    await clock.advance(second)
    expect(tries.flatMap(({ ids }) => ids)).to.deep.equal(['stream:b', 'told before'])
    expect(await told).to.deep.equal([undefined, undefined, undefined, undefined])
  })

  it('tries again ever more slowly, in order, and says once that it fails and once that it does not', async () => {
    const { clock, outbox, tries, lines, opened } = open([busy(), busy(), busy()])
    const told = outbox.offer(opened('a', 'b'))
    await clock.advance(3 * second)
    expect(outbox.problem).to.equal(undefined)
    await clock.advance(second)
    expect(outbox.problem).to.equal('it answers 503')
    await clock.advance(7 * second)
    expect(outbox.problem).to.equal(undefined)
    expect(tries).to.deep.equal([
      { ids: ['a'], at: 1000 },
      { ids: ['a'], at: 2000 },
      { ids: ['a'], at: 4000 },
      { ids: ['a'], at: 8000 },
      { ids: ['b'], at: 8000 },
    ])
    expect(await told).to.deep.equal([undefined, undefined])
    expect(lines).to.deep.equal(['a notification failed', 'notifications get through again'])
  })

  it('waits as long as the receiver asks', async () => {
    const { clock, outbox, tries, opened } = open([busy(120 * second)])
    void outbox.offer(opened('a'))
    await clock.advance(119 * second)
    expect(tries.length).to.equal(1)
    await clock.advance(2 * second)
    expect(tries.length).to.equal(2)
  })

  it('gives up at once what the receiver will never take, and goes on', async () => {
    const { clock, outbox, tries, opened } = open([refused])
    const told = outbox.offer(opened('a', 'b'))
    await clock.advance(second)
    expect(await told).to.deep.equal(['it answers 400', undefined])
    expect(tries.length).to.equal(2)
  })

  it('gives up after an hour, and what is older only after five tries', async () => {
    const { clock, outbox, tries, opened } = open(Array.from({ length: 200 }, () => busy()))
    const first = outbox.offer(opened('a'))
    await clock.advance(hour - 60 * second)
    let isSettled = false
    void first.then(() => {
      isSettled = true
    })
    await clock.advance(0)
    expect(isSettled).to.equal(false)
    await clock.advance(120 * second)
    expect(await first).to.deep.equal(['it answers 503'])
    const before = tries.length
    const second_ = outbox.offer(opened('b'))
    await clock.advance(60 * second)
    expect(await second_).to.deep.equal(['it answers 503'])
    expect(tries.length - before).to.equal(5)
  })

  it('takes back what nobody wants delivered any more, also while it is tried again', async () => {
    const { clock, outbox, tries, opened } = open([busy()])
    const lost = new AbortController()
    const told = outbox.offer(opened('a', 'b'), lost.signal)
    await clock.advance(second)
    lost.abort()
    expect(await told).to.deep.equal(['taken back', 'taken back'])
    const next = outbox.offer(opened('c'))
    await clock.advance(10 * second)
    expect(await next).to.deep.equal([undefined])
    expect(tries.flatMap(({ ids }) => ids)).to.deep.equal(['a', 'b', 'c'])
  })

  it('ends with the process, and settles what is left as not delivered', async () => {
    const { clock, outbox, opened, stop, running } = open(['hang'])
    const told = outbox.offer(opened('a', 'b'))
    await clock.advance(second)
    stop.abort()
    await running
    expect(await told).to.deep.equal(['the process ends', 'the process ends'])
  })

  it('tells what waits at once where the process ends soon', async () => {
    const { clock, outbox, tries, opened } = open()
    void outbox.offer(opened(...many(5)))
    await clock.advance(second)
    void outbox.offer(opened(...many(9, 5)))
    await clock.advance(2 * second)
    expect(tries.length).to.equal(5)
    outbox.hurry()
    await clock.advance(0)
    expect(tries.at(-1)?.ids).to.deep.equal(many(9, 5))
  })

  it('tries only once what is told again anyhow', async () => {
    const requests = (): OutgoingRequest[] => [{ url: '', body: () => '', headers: () => ({}), messages: [] }]
    const { clock, outbox, tries } = open([busy()], { requests })
    outbox.refresh()
    await clock.advance(60 * second)
    expect(tries.length).to.equal(1)
    outbox.refresh()
    await clock.advance(second)
    expect(tries.length).to.equal(2)
    expect(outbox.problem).to.equal(undefined)
  })
})
