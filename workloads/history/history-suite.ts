import { expect } from 'chai'
import type { Episode } from '../detection/episode.ts'
import { random } from '../detection/random.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { DecidedEvent } from '../detection/what-if.ts'
import { verdictJson } from '../wire/verdict-bytes.ts'
import type { History, JudgedEvent, VerdictQuery } from './history.ts'

const start = Date.UTC(2024, 0, 1)

export function judged(
  i: number,
  more: Partial<Verdict> & { readonly value?: number; readonly feature?: string } = {},
): JudgedEvent {
  const { value = i, feature = 'value', ...rest } = more
  const verdict: Verdict = {
    eventId: `e${i}`,
    userId: `k${i % 3}`,
    timestamp: start + 1000 * i,
    isAnomaly: false,
    anomalyScore: 0.5,
    threshold: 0.999,
    confidence: 1,
    modelVersion: 'NONE',
    reasons: [{ detector: 'profile', feature, observed: value, expected: 1, contribution: 1 }],
    scores: {},
    ...rest,
  }
  return { verdict, json: verdictJson(verdict), value, event: verdict.isAnomaly ? `{"id":"e${i}"}` : undefined }
}

export function episode(i: number, more: Partial<Episode> = {}): Episode {
  return {
    episodeId: `e${i}`,
    change: 'Opened',
    state: 'Open',
    userId: `k${i % 3}`,
    firstTimestamp: start + 1000 * i,
    lastTimestamp: start + 1000 * i,
    alerts: 1,
    events: 1,
    keys: 1,
    peakScore: 0.9999,
    peakEventId: `e${i}`,
    reasons: [],
    ...more,
  }
}

async function all<Item>(
  page: (cursor: string | undefined) => Promise<{ items: readonly Item[]; next: string | undefined }>,
): Promise<Item[]> {
  const items: Item[] = []
  for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
    const found = await page(cursor)
    items.push(...found.items)
    cursor = found.next
  }
  return items
}

/** What every history does; `open` gives an empty one. */
export function historySuite(open: () => Promise<History>): void {
  it('answers with the verdict of an event, and with the event where it was kept', async () => {
    const history = await open()
    const alert = judged(1, { isAnomaly: true })
    await history.record([judged(0), alert, judged(2)], [])
    expect(await history.result('e1')).to.equal(alert.json)
    expect(await history.span()).to.deep.equal({ first: start, last: start + 2000 })
    expect(await (await open()).span()).to.equal(undefined)
    expect(await history.event('e1')).to.equal('{"id":"e1"}')
    expect([await history.event('e0'), await history.result('e9'), await history.event('e9')]).to.deep.equal([
      undefined,
      undefined,
      undefined,
    ])
  })

  it('pages through what matches, the latest first, each once, whatever the question and the page', async () => {
    const history = await open()
    const chance = random('history')
    const events = Array.from({ length: 500 }, (_, i) =>
      judged(i, {
        // Many share a time, and some have none.
        timestamp: chance.next() < 0.1 ? null : start + 1000 * chance.int(50),
        isAnomaly: chance.next() < 0.2,
        feature: `f${chance.int(3)}`,
      }),
    )
    await history.record(events.slice(0, 300), [])
    await history.record(events.slice(300), [])
    const maybe = <T>(value: T): T | undefined => (chance.next() < 0.5 ? value : undefined)
    for (let round = 0; round < 100; round++) {
      const query: VerdictQuery = {
        key: maybe(`k${chance.int(4)}`),
        from: maybe(start + 1000 * chance.int(50)),
        to: maybe(start + 1000 * chance.int(60)),
        anomalies: maybe(true),
        reason: maybe(`f${chance.int(4)}`),
      }
      const matching = events.filter(
        ({ verdict: { userId, timestamp, isAnomaly, reasons } }) =>
          (query.key === undefined || query.key === userId) &&
          (query.from === undefined || (timestamp ?? 0) >= query.from) &&
          (query.to === undefined || (timestamp ?? 0) < query.to) &&
          (query.anomalies !== true || isAnomaly) &&
          (query.reason === undefined || reasons[0]?.feature === query.reason),
      )
      const expected = matching
        .map((event, i) => ({ event, i }))
        .sort((a, b) => (b.event.verdict.timestamp ?? 0) - (a.event.verdict.timestamp ?? 0) || b.i - a.i)
        .map(({ event }) => event.json)
      const limit = 1 + chance.int(200)
      expect(await all((cursor) => history.results(query, { limit, cursor }))).to.deep.equal(expected)
    }
  })

  it('keeps whatever text and time an event has', async () => {
    const history = await open()
    const long = 'k'.repeat(5000)
    const events = [
      judged(0, { eventId: 'nul\0', userId: 'nul\0' }),
      judged(1, { eventId: long, userId: long, feature: long }),
      judged(2, { eventId: `${long}2`, userId: `${long}2` }),
      judged(3, { timestamp: -86_400_000 }),
      judged(4, { timestamp: 1e294 }),
      judged(5, { timestamp: Date.UTC(99, 0, 1) - 1e13 }),
      judged(6, { timestamp: start + 0.75 }),
    ]
    await history.record(events, [episode(1, { episodeId: long, userId: long, reasons: [] })])
    for (const { verdict, json } of events) {
      expect(await history.result(verdict.eventId)).to.equal(json)
      expect(await all((cursor) => history.results({ key: verdict.userId }, { limit: 1, cursor }))).to.include(json)
    }
    expect(await all((cursor) => history.results({}, { limit: 1, cursor }))).to.have.length(7)
    expect((await history.episode(long))!.userId).to.equal(long)
    expect(await all((cursor) => history.results({ from: start, to: start + 1 }, { limit: 1, cursor }))).to.include(
      events[6]!.json,
    )
  })

  it('refuses a cursor that is none', async () => {
    const history = await open()
    for (const cursor of ['', 'x', '1', '1.2.3', "1.2' OR 1"])
      expect(await history.results({}, { limit: 1, cursor }).catch((error) => error)).to.include({
        code: 'InvalidArgument',
      })
  })

  it('keeps an episode as it is now', async () => {
    const history = await open()
    await history.record([], [episode(1), episode(2)])
    const closed = episode(1, { change: 'Closed', state: 'Closed', lastTimestamp: start + 60_000, alerts: 3 })
    await history.record([], [episode(1, { change: 'Updated', alerts: 2 }), closed])
    expect(await history.episode('e1')).to.deep.equal(closed)
    const found = async (query: Parameters<History['episodes']>[0]) =>
      (await all((cursor) => history.episodes(query, { limit: 1, cursor }))).map(({ episodeId }) => episodeId)
    expect(await found({})).to.deep.equal(['e1', 'e2'])
    expect(await found({ state: 'Open' })).to.deep.equal(['e2'])
    expect(await found({ key: 'k1' })).to.deep.equal(['e1'])
    expect(await found({ from: start + 30_000 })).to.deep.equal(['e1'])
    expect(await found({ to: start + 2000 })).to.deep.equal(['e1'])
  })

  it('draws a key event by event, or in stretches where there are more', async () => {
    const history = await open()
    const events = Array.from({ length: 100 }, (_, i) =>
      judged(i, { userId: 'k', isAnomaly: i === 70, anomalyScore: i / 1000, value: i === 5 ? Number.NaN : i }),
    )
    await history.record(events, [])
    const each = await history.series('k', { points: 100 })
    expect(each).to.have.length(100)
    expect(each[5]).to.include({ value: null, low: null, events: 1 })
    expect(each[70]).to.include({ time: start + 70_000, value: 70, alerts: 1, expected: 1 })
    const stretches = await history.series('k', { from: start + 10_000, points: 9 })
    expect(stretches.map(({ events }) => events)).to.deep.equal(new Array(9).fill(10))
    expect(stretches[6]).to.deep.include({ low: 70, high: 79, value: 74.5, score: 0.079, alerts: 1 })
    expect(await history.series('nobody', { points: 9 })).to.deep.equal([])
  })

  it('tells what was decided on each event, in the order of their times, the latest where there are too many', async () => {
    const history = await open()
    const rule = { detector: 'rule', rule: 'limit', feature: 'value', observed: 9, expected: 1, contribution: 1 }
    const events = Array.from({ length: 5000 }, (_, i) => judged(i, { timestamp: start + 1000 * (4999 - i) }))
    events[4990] = judged(4990, { timestamp: start + 9000, isAnomaly: true, reasons: [rule] })
    events[4995] = judged(4995, { timestamp: start + 4000, anomalyScore: 0.9999, suppressedBy: 'Refractory' })
    await history.record(events, [])
    const read = async (query: Parameters<History['decided']>[0]) => {
      const events: DecidedEvent[] = []
      for await (const portion of history.decided(query)) events.push(...portion)
      return events
    }
    const found = await read({ from: start, to: start + 5_000_000, limit: 9999 })
    expect(found.map(({ eventId }) => eventId)).to.deep.equal(events.map(({ verdict }) => verdict.eventId).reverse())
    expect(found[0]).to.deep.equal({
      ...{ eventId: 'e4999', key: 'k1', time: start, score: 0.5, threshold: 0.999, feature: 'value' },
      ...{ isAnomaly: false, isHit: false },
    })
    expect(found[4]).to.include({ suppressedBy: 'Refractory', isHit: false })
    expect(found[9]).to.include({ isAnomaly: true, isHit: true })
    const some = await read({ from: start + 2000, to: start + 4_998_000, limit: 3000 })
    expect(some).to.deep.equal(found.slice(1998, 4998))
    expect(await read({ from: 0, to: start, limit: 10 })).to.deep.equal([])
  })

  it('shows which keys alert most, and when', async () => {
    const history = await open()
    const alert = (i: number, userId: string, anomalyScore = 0.9999) =>
      judged(i, { userId, isAnomaly: true, anomalyScore })
    await history.record([alert(0, 'a'), alert(1, 'b', 0.99), alert(9, 'b'), judged(5, { userId: 'c' })], [])
    const query = { from: start, to: start + 10_000, buckets: 5, limit: 10, offset: 0 }
    expect(await history.lanes(query)).to.deep.equal([
      { key: 'b', alerts: 2, scores: [0.99, 0, 0, 0, 0.9999] },
      { key: 'a', alerts: 1, scores: [0.9999, 0, 0, 0, 0] },
    ])
    expect((await history.lanes({ ...query, limit: 1, offset: 1 })).map(({ key }) => key)).to.deep.equal(['a'])
  })
}
