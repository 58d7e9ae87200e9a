import { stripVTControlCharacters } from 'node:util'
import { expect } from 'chai'
import type { Verdict } from '../detection/verdict.ts'
import { alertHeader, alertLine, progressLine, statusLine, summaryLines } from './status-line.ts'

const plain = { columns: Number.POSITIVE_INFINITY, colour: false }
const widths = [200, 120, 80, 60, 40, 20, 10, 1]

function verdict(change: Partial<Verdict> = {}): Verdict {
  return {
    eventId: 'payment-7',
    userId: 'user-0042',
    timestamp: Date.UTC(2024, 0, 3, 14, 3, 22),
    isAnomaly: true,
    anomalyScore: 0.999871,
    threshold: 0.999,
    confidence: 0.9,
    modelVersion: 'v3',
    reasons: [
      { detector: 'profile', feature: 'value', observed: 950, expected: 42, contribution: 0.62 },
      { detector: 'forest', feature: 'distanceKm', observed: 5200, expected: 6, contribution: 0.2 },
    ],
    scores: {},
    ...change,
  }
}

describe('statusLine()', () => {
  const status = {
    eventsPerSecond: 2013.7,
    alerts: 153,
    keys: 2000,
    modelVersion: 'v3',
    truth: { precision: 0.81, recall: 0.744 },
  }

  it('says all of it where there is room', () => {
    expect(statusLine(status, plain)).to.equal(
      '2,014 events/s · 153 alerts · 2,000 keys · model v3 · precision 81 % · recall 74 %',
    )
  })

  it('leaves out what matters least where there is not', () => {
    expect(statusLine(status, { ...plain, columns: 60 })).to.equal(
      '2,014 events/s · 153 alerts · precision 81 % · recall 74 %',
    )
    expect(statusLine(status, { ...plain, columns: 30 })).to.equal('2,014 events/s · 153 alerts')
  })

  it('does without a truth', () => {
    expect(statusLine({ ...status, truth: undefined }, plain)).to.equal(
      '2,014 events/s · 153 alerts · 2,000 keys · model v3',
    )
  })
})

describe('alertLine()', () => {
  it('reads from time to reasons', () => {
    expect(alertLine({ verdict: verdict(), injected: 'amount-spike' }, plain)).to.equal(
      '2024-01-03 14:03:22  0.99987    user-0042   ✓ amount-spike          value 950 (usual 42), distanceKm 5,200 (usual 6)',
    )
  })

  it('says so when nothing was injected, and nothing of it when nobody knows', () => {
    expect(alertLine({ verdict: verdict(), injected: '' }, plain)).to.contain('  ✗ false alert  ')
    expect(alertLine({ verdict: verdict() }, plain)).to.match(/user-0042 {3}value 950/)
  })

  it('names each feature once, though several detectors point at it', () => {
    const reasons = [
      { detector: 'profile', feature: 'value', observed: 950, expected: 42, contribution: 0.5 },
      { detector: 'forest', feature: 'value', observed: 950, expected: 40, contribution: 0.3 },
      { detector: 'forest', feature: 'risk', observed: 0.9, expected: null, contribution: 0.2 },
    ]
    expect(alertLine({ verdict: verdict({ reasons }) }, plain)).to.match(/ {2}value 950 \(usual 42\), risk 0\.9$/)
  })

  it('leaves the day out where there is no room for it, and still says why', () => {
    const line = alertLine({ verdict: verdict(), injected: 'compromised-terminal' }, { ...plain, columns: 80 })
    expect(line).to.equal('14:03:22  0.99987    user-0042   ✓ compromised-terminal  value 950 (usual 42), …')
  })

  it('stands below a header of the same columns', () => {
    for (const columns of [80, 120]) {
      const look = { ...plain, columns }
      const header = alertHeader({ truth: true }, look)
      const line = alertLine({ verdict: verdict(), injected: 'amount-spike' }, look)
      for (const [title, text] of [
        ['TIME', columns === 80 ? '14:03' : '2024'],
        ['SCORE', '0.99987'],
        ['KEY', 'user-0042'],
        ['INJECTED', '✓'],
        ['WHY', 'value'],
      ] as const)
        expect(header.indexOf(title), `${title} at ${columns}`).to.equal(line.indexOf(text))
    }
  })

  it('names the event where the pipeline has one key for all', () => {
    expect(alertLine({ verdict: verdict({ userId: '' }) }, plain)).to.contain('payment-7')
  })

  it('lets no key or feature move the cursor or change colours', () => {
    const hostile = '\u001b[2J\u001b]0;owned\u0007\u202eevil\n\r'
    const line = alertLine(
      {
        verdict: verdict({
          userId: hostile,
          reasons: [{ detector: 'profile', feature: hostile, observed: 1, expected: 2, contribution: 1 }],
        }),
      },
      plain,
    )
    expect(line)
      .to.contain('evil')
      .and.not.match(/[\p{Cc}\u202e]/u)
  })
})

describe('progressLine()', () => {
  const progress = { events: 1_234_567, alerts: 153, rejected: 0, seconds: 20 }

  it('draws a bar by bytes and estimates what is left', () => {
    const line = progressLine({ ...progress, input: { over: 62, total: 100 } }, { ...plain, columns: 80 })
    expect(line).to.equal('━━━━━━━━━━━━━─────────   62 %  1,234,567 events  61,728/s  153 alerts  0:12 left')
  })

  it('counts where the size is unknown', () => {
    expect(progressLine({ ...progress, rejected: 4 }, plain)).to.equal(
      '1,234,567 events  61,728/s  153 alerts  4 rejected  0:20',
    )
  })

  it('promises no end before anything was read, and never more than all of it', () => {
    expect(progressLine({ ...progress, input: { over: 0, total: 100 } }, plain)).to.contain('–:–– left')
    expect(progressLine({ ...progress, input: { over: 120, total: 100 } }, plain)).to.contain('100 %')
  })

  it('is wide when the hours are', () => {
    expect(progressLine({ ...progress, seconds: 3600, input: { over: 1, total: 3 } }, plain)).to.contain('2:00:00 left')
  })
})

const nothingMissed = { found: 18, missed: 0, falseEpisodes: 3, medianDelayMs: 240_000 }

describe('summaryLines()', () => {
  it('ends with events, alerts, rejected and events/s', () => {
    expect(summaryLines({ events: 40_000, alerts: 1, rejected: 3, seconds: 20 }, plain)).to.deep.equal([
      '40,000 events in 20.0 s (2,000/s), 1 alert, 3 rejected',
    ])
  })

  it('says before that why events were rejected, most first', () => {
    const rejectedBy = new Map([
      ['MissingKey', 1],
      ['InvalidTime', 1200],
    ])
    const counts = { events: 0, alerts: 0, rejected: 1201, seconds: 1 }
    expect(summaryLines({ ...counts, rejectedBy }, plain)).to.deep.equal([
      'rejected: 1,200 InvalidTime, 1 MissingKey',
      '0 events in 1.0 s (0/s), 0 alerts, 1,201 rejected',
    ])
    expect(summaryLines({ ...counts, rejected: 0, rejectedBy: new Map() }, plain)).to.have.length(1)
  })

  it('says how many episodes there were where nobody knows the truth', () => {
    const first = (days: number, open: number) =>
      summaryLines({ events: 1, alerts: 1, rejected: 0, seconds: 1, episodes: { episodes: 41, open, days } }, plain)[0]
    expect(first(2, 3)).to.equal('41 episodes, 20.5 a day, 3 open')
    expect(first(Number.NaN, 0)).to.equal('41 episodes')
    expect(first(0.1, 0)).to.equal('41 episodes')
  })

  it('tells what was found of each kind', () => {
    const episodes = { episodes: 21, open: 0, days: 2, truth: { ...nothingMissed, missed: 3 } }
    const kinds = [
      { kind: 'amount-spike', episodes: 20, found: 18, alerts: 19 },
      { kind: 'slow-drift', episodes: 1, found: 0, alerts: 0 },
    ]
    const lines = summaryLines(
      {
        events: 10,
        alerts: 22,
        rejected: 0,
        seconds: 0,
        episodes,
        truth: { precision: 19 / 22, recall: 18 / 21, kinds, falseAlerts: 3, episodes },
      },
      plain,
    )
    expect(lines).to.deep.equal([
      '18 of 21 episodes found, 3 missed; 3 false, 1.5 a day; half of those found within 4 minutes',
      '10 events in 0.0 s (0/s), 22 alerts, 0 rejected',
      '',
      'INJECTED      EPISODES  FOUND  MISSED  ALERTS',
      'amount-spike        20     18       2      19',
      'slow-drift           1      0       1       0',
      'nothing                                     3',
      '',
      'precision 86 %: so many of the alerts point at one',
    ])
  })
})

describe('Lines for a terminal', () => {
  const wideKey = verdict({ userId: '東京の顧客👩‍💻 é' })
  const kinds = [{ kind: 'compromised-terminal', episodes: 12, found: 3, alerts: 5 }]
  const lines = (columns: number, colour: boolean) => {
    const look = { columns, colour }
    const episodes = { episodes: 41, open: 3, days: 2, truth: nothingMissed }
    const truth = { precision: 0.5, recall: 0.5, kinds, falseAlerts: 5, episodes }
    const counts = { events: 1_234_567, alerts: 153, rejected: 12, seconds: 20 }
    return [
      statusLine({ eventsPerSecond: 1e6, alerts: 10, keys: 1, modelVersion: '3-1a2b', truth }, look),
      alertLine({ verdict: verdict(), injected: 'compromised-terminal' }, look),
      alertLine({ verdict: wideKey, injected: '' }, look),
      progressLine(counts, look),
      progressLine({ ...counts, input: { over: 1, total: 2 } }, look),
      ...summaryLines({ ...counts, episodes, truth }, look),
    ]
  }

  it('are never wider than it', () => {
    for (const columns of widths)
      for (const line of lines(columns, false)) expect([...line].length, line).to.be.at.most(columns)
  })

  it('count wide characters as two cells', () => {
    const line = alertLine({ verdict: verdict({ userId: '東京東京東京東京東京東京' }) }, { columns: 12, colour: false })
    expect(line).to.equal('東京東京東…')
  })

  it('say the same with colours as without', () => {
    for (const columns of widths)
      expect(lines(columns, true).map((line) => stripVTControlCharacters(line))).to.deep.equal(lines(columns, false))
    expect(lines(80, true).join('')).to.contain('\u001b[')
  })
})
