import { expect } from 'chai'
import { closed, episode, start } from './test-episode.ts'
import { type NotificationFilter, ToldEpisodes } from './told-episodes.ts'

const second = 1000
const day = 86_400 * second

describe('Episodes that a receiver was told of', () => {
  function told(filter: NotificationFilter = {}) {
    const clock = { now: start }
    const episodes = new ToldEpisodes(filter, { scope: 'shop/payments', wall: () => clock.now })
    const take = (...args: Parameters<typeof episode>) => episodes.take(episode(...args), clock.now)?.id
    return { clock, episodes, take }
  }
  const rule = { detector: 'rule', rule: 'limit', feature: 'value', observed: 950, expected: 100, contribution: 1 }

  it('are told once, however often they have news, and once when they are over', () => {
    const { episodes, take, clock } = told()
    expect(take()).to.equal('shop/payments/event-1/opened')
    expect(take({ change: 'Updated', alerts: 2 })).to.equal(undefined)
    expect(episodes.size).to.equal(1)
    expect(episodes.take(closed(), clock.now)?.id).to.equal('shop/payments/event-1/closed')
    expect(episodes.take(closed(), clock.now)).to.equal(undefined)
    expect(episodes.size).to.equal(0)
  })

  it('are told when they grow over the score, and not before', () => {
    const { take, episodes, clock } = told({ minScore: '0.999' })
    expect(take({ peakScore: 0.99 })).to.equal(undefined)
    expect(take({ peakScore: 0.998, change: 'Updated' })).to.equal(undefined)
    expect(take({ peakScore: 0.999, change: 'Updated' })).to.equal('shop/payments/event-1/opened')
    expect(take({ peakScore: 0.9999, change: 'Updated' })).to.equal(undefined)
    expect(episodes.take(closed({ episodeId: 'never-told' }), clock.now)).to.equal(undefined)
  })

  it('are told whatever their score where a rule was hit', () => {
    const { take } = told({ minScore: '0.999' })
    expect(take({ peakScore: 0.5, reasons: [rule] })).to.equal('shop/payments/event-1/opened')
  })

  for (const [what, filter, change, isTold] of [
    ['a key by its name', { keys: ['user-1'] }, {}, true],
    ['a key by its start', { keys: ['user-*'] }, {}, true],
    ['any key', { keys: ['*'] }, {}, true],
    ['another key', { keys: ['user-12', 'user'] }, {}, false],
    ['keys only, of the whole stream', { keys: ['*'] }, { userId: null }, false],
    ['all, of the whole stream', {}, { userId: null }, true],
    ['a feature', { reasons: ['value'] }, {}, true],
    ['a rule', { reasons: ['lim*'] }, { reasons: [rule] }, true],
    ['another feature', { reasons: ['amount'] }, {}, false],
  ] as const)
    it(`are ${isTold ? '' : 'not '}told to who asks for ${what}`, () => {
      expect(told(filter).take(change) !== undefined).to.equal(isTold)
    })

  it('are told again after each time that was asked for', () => {
    const { take, episodes, clock } = told({ repeatAfterSeconds: 60 })
    take()
    episodes.commit()
    const due = () => episodes.due().map(({ id }) => id)
    clock.now += 59 * second
    expect(due()).to.deep.equal([])
    clock.now += second
    expect(due()).to.deep.equal(['shop/payments/event-1/still-open/1'])
    expect(due()).to.deep.equal([])
    clock.now += 150 * second
    expect(due()).to.deep.equal(['shop/payments/event-1/still-open/3'])
    episodes.take(closed(), clock.now)
    episodes.commit()
    clock.now += day
    expect(due()).to.deep.equal([])
  })

  it('are what they were before what was staged and is void', () => {
    const { take, episodes, clock } = told()
    take()
    episodes.commit()
    take({ episodeId: 'event-2' })
    episodes.take(closed(), clock.now)
    episodes.rollback()
    expect(Array.from(episodes.open, ({ episode }) => episode.episodeId)).to.deep.equal(['event-1'])
    expect(take({ episodeId: 'event-2' })).to.equal('shop/payments/event-2/opened')
    expect(episodes.take(closed(), clock.now)?.kind).to.equal('Closed')
  })

  it('are over where nothing was heard of them for a day, and that is told once', () => {
    const { take, episodes, clock } = told()
    take()
    episodes.commit()
    clock.now += day
    expect(episodes.due()).to.deep.equal([])
    clock.now += second
    expect(episodes.due().map(({ kind, episode }) => [kind, episode.state])).to.deep.equal([['Closed', 'Closed']])
    expect(episodes.due()).to.deep.equal([])
  })

  it('are no news after a day', () => {
    const { episodes, clock } = told()
    clock.now += day + second
    expect(episodes.take(episode(), start)).to.equal(undefined)
    expect(episodes.size).to.equal(0)
  })

  it('are the same after the same records, so that a restart neither tells again nor forgets', () => {
    const records = [
      episode(),
      episode({ episodeId: 'event-2', peakScore: 0.9 }),
      episode({ change: 'Updated' }),
      episode({ episodeId: 'event-3' }),
      closed({ episodeId: 'event-3' }),
    ]
    const ids = (filter: NotificationFilter) => {
      const { episodes } = told(filter)
      for (const record of records) episodes.take(record, start)
      return Array.from(episodes.open, (one) => one.episode.episodeId)
    }
    expect(ids({ minScore: '0.99' })).to.deep.equal(['event-1'])
    expect(ids({ minScore: '0.99' })).to.deep.equal(ids({ minScore: '0.99' }))
  })
})
