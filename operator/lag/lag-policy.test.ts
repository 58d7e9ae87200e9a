import { expect } from 'chai'
import { type LagSample, type LagState, nextLagState } from './lag-policy.ts'

const target = { minReplicas: 1, maxReplicas: 8, targetLag: 1000 }
const second = 1000
const minute = 60 * second
const seen = (at: number, lag: number, more: Partial<LagSample> = {}): LagSample => ({
  partitions: 12,
  lag,
  readyReplicas: 1,
  at,
  ...more,
})
/** Feeds a lag every 15 seconds for a while. */
function feed(before: LagState | undefined, lags: readonly number[], more: Partial<LagSample> = {}): LagState {
  let state = before
  const begin = before === undefined ? 0 : before.last.at + 15 * second
  for (const [index, lag] of lags.entries())
    state = nextLagState(state, seen(begin + index * 15 * second, lag, more), target)
  return state!
}
const steady = (lag: number, minutes: number): readonly number[] => Array.from({ length: minutes * 4 }, () => lag)

describe('nextLagState', () => {
  it('asks for the fewest while little waits', () => {
    expect(feed(undefined, steady(500, 60)).floor).to.equal(1)
  })

  it('doubles at most, and waits for the group to settle before it asks for more', () => {
    const first = feed(undefined, steady(50_000, 1.25))
    expect(first.floor).to.equal(2)
    expect(feed(first, steady(50_000, 0.75)).floor).to.equal(2)
    expect(feed(first, steady(50_000, 1.25), { readyReplicas: 2 }).floor).to.equal(4)
  })

  it('never asks for more than partitions or maxReplicas', () => {
    expect(feed(undefined, steady(1e9, 60), { readyReplicas: 8 }).floor).to.equal(8)
    expect(feed(undefined, steady(1e9, 60), { readyReplicas: 3, partitions: 3 }).floor).to.equal(3)
  })

  it('lets a backlog be that is melting away', () => {
    const melting = Array.from({ length: 20 }, (_, index) => 40_000 - index * 2_000)
    expect(feed(undefined, melting).floor).to.equal(1)
  })

  it('lets one replica go after ten calm minutes, then the next', () => {
    const high: LagState = { floor: 4, changedAt: 0, last: seen(0, 4_000) }
    expect(feed(high, steady(100, 9.5)).floor).to.equal(4)
    expect(feed(high, steady(100, 10.5)).floor).to.equal(3)
    expect(feed(high, steady(100, 21)).floor).to.equal(2)
    expect(feed(high, steady(100, 120)).floor).to.equal(1)
  })

  it('stays where it is between enough and too much', () => {
    const high: LagState = { floor: 4, changedAt: 0, last: seen(0, 4_000) }
    expect(feed(high, steady(2_000, 120)).floor).to.equal(4)
  })

  it('forgets a calm that a burst ended', () => {
    const high: LagState = { floor: 4, changedAt: 0, last: seen(0, 4_000) }
    const calm = feed(high, steady(100, 9))
    expect(feed(feed(calm, [3_000]), steady(100, 9)).floor).to.equal(4)
  })

  it('keeps what runs when it has just been started amid a backlog', () => {
    expect(nextLagState(undefined, seen(0, 9_000, { readyReplicas: 5 }), target).floor).to.equal(5)
    expect(nextLagState(undefined, seen(0, 10, { readyReplicas: 5 }), target).floor).to.equal(1)
  })

  it('obeys narrower bounds at once', () => {
    const high: LagState = { floor: 6, changedAt: 0, last: seen(0, 4_000) }
    const narrow = nextLagState(high, seen(minute / 4, 4_000), { ...target, maxReplicas: 3 })
    expect(narrow.floor).to.equal(3)
  })
})
