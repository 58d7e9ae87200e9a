import { expect } from 'chai'
import { EpisodeQuality, LabelledEpisodes } from './episode-quality.ts'
import type { Verdict } from './verdict.ts'

const spec = { refractorySeconds: 300 }
const start = Date.UTC(2024, 0, 1)
const minute = 60_000

type What = 'alert' | 'silenced' | 'ordinary'
/** Minutes since the start, what was decided, label, key. */
type Row = readonly [at: number, what: What, label: 0 | 1, userId?: string, feature?: string]

function verdictOf([at, what, , userId = 'k', feature = 'value']: Row): Verdict {
  return {
    eventId: `${userId}@${at}`,
    userId,
    timestamp: start + at * minute,
    isAnomaly: what === 'alert',
    anomalyScore: what === 'ordinary' ? 0.5 : 0.9995,
    threshold: 0.999,
    confidence: 1,
    modelVersion: 'NONE',
    reasons: [{ detector: 'profile', feature, observed: 9, expected: 1, contribution: 1 }],
    scores: {},
    ...(what === 'silenced' ? { suppressedBy: 'Refractory' } : undefined),
  }
}

function figuresOf(rows: readonly Row[]) {
  const quality = new EpisodeQuality(spec)
  const labelled = new LabelledEpisodes(spec)
  for (const row of rows) {
    const verdict = verdictOf(row)
    quality.add(verdict, labelled.next(verdict, row[2]))
  }
  return quality.figures
}

const quiet = (from: number, userId = 'k'): Row[] =>
  [11, 12, 13].map((more): Row => [from + more, 'ordinary', 0, userId])

describe('Quality in episodes', () => {
  it('counts a true episode once, however many of its events the refractory period silenced', () => {
    const rows: Row[] = [[0, 'ordinary', 1], [3, 'alert', 1], ...[4, 5, 6, 7].map((at): Row => [at, 'silenced', 1])]
    expect(figuresOf([...rows, ...quiet(7)])).to.deep.equal({
      episodes: 1,
      open: 0,
      days: 20 / 1440,
      truth: { found: 1, missed: 0, falseEpisodes: 0, medianDelayMs: 3 * minute },
    })
  })

  it('tells what was missed, and which episodes were false', () => {
    const rows: Row[] = [
      [0, 'ordinary', 1, 'missed'],
      [1, 'alert', 0, 'false'],
      [2, 'alert', 1, 'right'],
      [3, 'alert', 0, 'open'],
      [4, 'alert', 1, 'late'],
      ...quiet(4, 'false'),
      [30, 'ordinary', 0],
    ]
    const { episodes, open, truth } = figuresOf(rows)
    expect({ episodes, open, truth }).to.deep.equal({
      episodes: 4,
      open: 3,
      truth: { found: 2, missed: 1, falseEpisodes: 2, medianDelayMs: 0 },
    })
  })

  it('takes an alert that stands already as having found what comes within its refractory period', () => {
    const { truth } = figuresOf([
      [0, 'alert', 0],
      [1, 'ordinary', 0],
      [2, 'silenced', 1],
    ])
    expect(truth).to.deep.include({ found: 1, missed: 0, falseEpisodes: 0 })
  })

  it('counts an episode of the stream once, in place of those of its keys', () => {
    const rows: Row[] = [
      [0, 'alert', 0, 'other', 'rhythm'],
      ...Array.from({ length: 10 }, (_, i): Row => [2000 + i / 10, 'alert', i === 2 ? 1 : 0, `k${i}`]),
    ]
    const { episodes, open, truth } = figuresOf(rows)
    expect([episodes, open, truth!.falseEpisodes, truth!.found]).to.deep.equal([2, 1, 1, 1])
  })

  it('knows no truth where nothing is labelled', () => {
    const quality = new EpisodeQuality(spec)
    quality.add(verdictOf([0, 'alert', 0]), undefined)
    expect(quality.figures).to.deep.equal({ episodes: 1, open: 1, days: 0 })
  })
})

describe('LabelledEpisodes', () => {
  it('join rows of one key with none that is normal between them, or hardly any time', () => {
    const labelled = new LabelledEpisodes(spec)
    const rows: readonly (readonly [at: number, key: string, label: 0 | 1])[] = [
      [0, 'a', 1],
      [0, 'b', 1],
      [100, 'a', 1],
      [105, 'a', 0],
      [109, 'a', 1],
      [110, 'a', 0],
      [120, 'a', 1],
      [500, 'b', 0],
      [501, 'b', 1],
    ]
    const numbers = rows.map(([at, userId, label]) => labelled.next({ userId, timestamp: start + at * minute }, label))
    expect(numbers).to.deep.equal([1, 2, 1, 0, 1, 0, 3, 0, 4])
  })

  it('need no times', () => {
    const labelled = new LabelledEpisodes(spec)
    const labels = [1, 1, 0, 1] as const
    expect(labels.map((label) => labelled.next({ userId: 'k', timestamp: null }, label))).to.deep.equal([1, 1, 0, 2])
  })
})
