import { expect } from 'chai'
import type { Episode } from './episode.ts'
import { OpenEpisodes } from './open-episodes.ts'
import { random } from './random.ts'
import type { Verdict } from './verdict.ts'

const start = Date.UTC(2024, 0, 1)
const minute = 60_000

interface Case extends Partial<Omit<Verdict, 'timestamp'>> {
  /** Minutes since the start; null for an event without time. */
  readonly at: number | null
  readonly feature?: string
}

function verdict({ at, feature = 'value', ...rest }: Case): Verdict {
  return {
    eventId: `${rest.userId ?? 'k'}@${at}`,
    userId: 'k',
    timestamp: at === null ? null : start + at * minute,
    isAnomaly: false,
    anomalyScore: 0.5,
    threshold: 0.999,
    confidence: 1,
    modelVersion: 'NONE',
    reasons: [{ detector: 'profile', feature, observed: 9, expected: 1, contribution: 1 }],
    scores: {},
    ...rest,
  }
}

const alert = (at: number | null, more: Omit<Case, 'at'> = {}) =>
  verdict({ at, isAnomaly: true, anomalyScore: 0.9995, ...more })
const silenced = (at: number, more: Omit<Case, 'at'> = {}) => verdict({ at, suppressedBy: 'Refractory', ...more })

/** The refractory period is five minutes: an episode needs ten of quiet to end. */
const open = () => new OpenEpisodes({ refractorySeconds: 300 })

function changesOf(verdicts: readonly Verdict[], episodes = open()): Episode[] {
  const changes: Episode[] = []
  for (const one of verdicts) episodes.add(one, changes)
  return changes
}

const brief = ({ change, userId, alerts, events }: Episode) => `${change} ${userId}: ${alerts} of ${events}`

describe('OpenEpisodes', () => {
  it('groups the alerts of a key, and what was silenced after them, from the first to the last', () => {
    const ordinary = [11, 12, 13, 14].map((at) => verdict({ at }))
    const changes = changesOf([
      alert(0),
      silenced(1),
      verdict({ at: 2 }),
      alert(3, { anomalyScore: 0.9999, feature: 'amount' }),
      ...ordinary,
    ])
    expect(changes.map(brief)).to.deep.equal(['Opened k: 1 of 1', 'Updated k: 2 of 3', 'Closed k: 2 of 3'])
    const closed = changes.at(-1)!
    expect(closed).to.deep.equal({
      episodeId: 'k@0',
      change: 'Closed',
      state: 'Closed',
      userId: 'k',
      firstTimestamp: start,
      lastTimestamp: start + 3 * minute,
      alerts: 2,
      events: 3,
      keys: 1,
      peakScore: 0.9999,
      peakEventId: 'k@3',
      reasons: [{ detector: 'profile', feature: 'amount', observed: 9, expected: 1, contribution: 1 }],
    })
  })

  it('waits for a key that sends seldom until it has sent three ordinary events', () => {
    const hourly = [alert(0), ...[60, 90].map((at) => verdict({ at })), alert(100)]
    expect(changesOf(hourly).map(brief)).to.deep.equal(['Opened k: 1 of 1', 'Updated k: 2 of 2'])
    const quiet = [alert(0), ...[60, 90, 110].map((at) => verdict({ at })), alert(115)]
    expect(changesOf(quiet).map(({ change }) => change)).to.deep.equal(['Opened', 'Closed', 'Opened'])
  })

  it('closes the episode of a key that sends nothing more when others have gone on for two hours', () => {
    const other = (at: number) => verdict({ at, userId: 'other' })
    expect(changesOf([alert(0), other(119)])).to.have.length(1)
    expect(changesOf([alert(0), other(120)]).map(({ change }) => change)).to.deep.equal(['Opened', 'Closed'])
  })

  it('counts events where none has a time', () => {
    const quiet = (count: number) => Array.from({ length: count }, () => verdict({ at: null }))
    expect(changesOf([alert(null), ...quiet(599)])).to.have.length(1)
    const [, closed] = changesOf([alert(null), ...quiet(600)])
    expect(closed).to.include({ change: 'Closed', firstTimestamp: null, lastTimestamp: null })
  })

  it('closes the one without news for longest where too many are open', () => {
    const chance = random('far too many')
    const many = Array.from({ length: 1001 }, (_, i) =>
      alert(i / 1000, { userId: `k${i}`, feature: `f${chance.int(1e9)}` }),
    )
    expect(
      changesOf(many)
        .filter(({ change }) => change === 'Closed')
        .map(({ userId }) => userId),
    ).to.deep.equal(['k0'])
  })

  describe('of the stream', () => {
    /** Every hour of a day another key alerts for itself. */
    const alone = Array.from({ length: 24 }, (_, hour) => alert(60 * hour, { userId: `other-${hour}` }))
    const day = [...alone, verdict({ at: 26 * 60, userId: 'other' })]
    const noon = 27 * 60
    const together = (count: number, feature = 'value') =>
      Array.from({ length: count }, (_, i) => alert(noon + i / 10, { userId: `k${i}`, feature }))

    it('takes in the episodes of keys that alert together for one reason, and the alerts that follow', () => {
      const episodes = open()
      changesOf(day, episodes)
      const changes = changesOf([...together(7), silenced(noon + 1, { userId: 'k1' })], episodes)
      expect(changes.map(brief)).to.deep.equal([
        ...['Opened k0: 1 of 1', 'Opened k1: 1 of 1', 'Opened k2: 1 of 1', 'Opened k3: 1 of 1', 'Opened k4: 1 of 1'],
        'Opened null: 5 of 5',
        ...['Closed k0: 1 of 1', 'Closed k1: 1 of 1', 'Closed k2: 1 of 1', 'Closed k3: 1 of 1', 'Closed k4: 1 of 1'],
        ...['Updated null: 6 of 6', 'Updated null: 7 of 7'],
      ])
      const { episodeId } = changes[5]!
      expect(changes.slice(6, 11).every(({ partOf }) => partOf === episodeId)).to.equal(true)
      expect(changes.at(-1)).to.include({ keys: 7, firstTimestamp: start + noon * minute })
      const end = changesOf([verdict({ at: noon + 20, userId: 'other' })], episodes)
      expect(end.find(({ userId }) => userId === null)).to.include({ change: 'Closed', alerts: 7, events: 8, keys: 7 })
    })

    it('needs one reason, five keys, and more than open an episode in that time anyhow', () => {
      const of = (verdicts: readonly Verdict[]) =>
        changesOf([...day, ...verdicts]).filter(({ userId }) => userId === null)
      expect(of(together(4))).to.have.length(0)
      expect(
        of(together(10).map((one, i) => ({ ...one, reasons: [{ ...one.reasons[0]!, feature: `f${i % 3}` }] }))),
      ).to.have.length(0)
      const busy = Array.from({ length: 27 * 60 }, (_, at) => alert(at, { userId: `busy-${at}` }))
      expect(changesOf([...busy, ...together(10)]).filter(({ userId }) => userId === null)).to.have.length(0)
    })
  })

  for (let seed = 0; seed < 20; seed++)
    it(`keeps its promises on random streams, seed ${seed}`, () => {
      const chance = random(`episodes ${seed}`)
      const keys = 1 + chance.int(30)
      const timed = seed % 5 !== 4
      let at = 0
      const verdicts = Array.from({ length: 3000 }, (_, i): Verdict => {
        at += chance.next() < 0.01 ? chance.int(300) : chance.next()
        const more = { userId: `k${chance.int(keys)}`, eventId: `e${i}`, feature: `f${chance.int(3)}` }
        const when = timed ? at - (chance.next() < 0.1 ? chance.int(30) : 0) : null
        const roll = chance.next()
        if (roll < 0.05) return alert(when, { ...more, anomalyScore: 0.99 + chance.next() / 100 })
        return roll < 0.1 && when !== null ? silenced(when, more) : verdict({ at: when, ...more })
      })
      const whole = open()
      const changes = changesOf(verdicts, whole)

      // What is written and read back anywhere goes on as if nothing had happened.
      let stored = open()
      const again: Episode[] = []
      for (const one of verdicts) {
        if (chance.next() < 0.05) {
          const saved = stored.save()
          if (chance.next() < 0.5) stored = open()
          else stored.add(alert(timed ? at : null, { userId: 'undone' }), [])
          stored.load(saved)
        }
        stored.add(one, again)
      }
      expect(again).to.deep.equal(changes)

      // Each is opened once and closed at most once, and a key has one at a time.
      const known = new Map<string, Episode>()
      const openKeys = new Set<string | null>()
      for (const episode of changes) {
        const { episodeId, change, userId } = episode
        expect(known.get(episodeId)?.state, `${change} ${episodeId}`).to.equal(change === 'Opened' ? undefined : 'Open')
        known.set(episodeId, episode)
        if (userId === null) continue
        if (change === 'Opened') expect(openKeys.has(userId)).to.equal(false)
        if (change === 'Closed') openKeys.delete(userId)
        else openKeys.add(userId)
      }
      // Every alert is in one episode, but for those of keys that became part of the stream's.
      const alone = [...known.values()].filter(({ partOf }) => partOf === undefined)
      const alerts = verdicts.filter(({ isAnomaly }) => isAnomaly).length
      expect(alone.reduce((sum, episode) => sum + episode.alerts, 0)).to.equal(alerts)
      expect(alone.every(({ events, alerts, keys }) => events >= alerts && alerts >= keys)).to.equal(true)
      expect(alone.filter(({ state }) => state === 'Open')).to.have.length(whole.size)
    })

  it('refuses a memory that is damaged', () => {
    expect(() => open().load(new TextEncoder().encode('{"clock":'))).to.throw(RangeError)
    expect(() => open().load(new TextEncoder().encode('{}'))).to.throw(RangeError)
  })
})
