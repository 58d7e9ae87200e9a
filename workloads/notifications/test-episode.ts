import type { Episode } from '../detection/episode.ts'
import type { Message } from './message.ts'

export const start = Date.UTC(2026, 0, 31, 10)

/** An episode that was just opened, but for what is given. */
export function episode(change: Partial<Episode> = {}): Episode {
  return {
    episodeId: 'event-1',
    change: 'Opened',
    state: 'Open',
    userId: 'user-1',
    firstTimestamp: start,
    lastTimestamp: start,
    alerts: 1,
    events: 1,
    keys: 1,
    peakScore: 0.9995,
    peakEventId: 'event-1',
    reasons: [{ detector: 'profile', feature: 'value', observed: 950, expected: 42, contribution: 0.8 }],
    ...change,
  }
}

export const closed = (change: Partial<Episode> = {}): Episode =>
  episode({ change: 'Closed', state: 'Closed', lastTimestamp: start + 600_000, alerts: 4, ...change })

/** What is said of an episode. */
export function message(kind: Message['kind'] = 'Opened', change: Partial<Episode> = {}): Message {
  const about = kind === 'Closed' ? closed(change) : episode(change)
  return { id: `shop/payments/${about.episodeId}/${kind}`, kind, episode: about, at: start }
}
