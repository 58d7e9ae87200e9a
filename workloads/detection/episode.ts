import type { Reason, Verdict } from './verdict.ts'

export const episodeChanges = ['Opened', 'Updated', 'Closed'] as const
export type EpisodeChange = (typeof episodeChanges)[number]

/** The alerts of one key that belong together, from first to last; or of many keys that alert together for one reason. */
export interface Episode {
  /** Id of the event that opened it; with `stream:` in front where the episode is the stream's. */
  readonly episodeId: string
  /** What happened to it now. */
  readonly change: EpisodeChange
  readonly state: 'Open' | 'Closed'
  /** The key; null where the episode is the stream's. */
  readonly userId: string | null
  /** Time of its first and last event, in milliseconds since 1970; null where events have no time. */
  readonly firstTimestamp: number | null
  readonly lastTimestamp: number | null
  readonly alerts: number
  /** Its alerts, and what the refractory period silenced after them. */
  readonly events: number
  /** Keys that alerted. */
  readonly keys: number
  readonly peakScore: number
  /** The event with that score. */
  readonly peakEventId: string
  /** Of that event. */
  readonly reasons: readonly Reason[]
  /** Id of the stream's episode that the key's became part of. */
  readonly partOf?: string
}

/** The feature that the strongest reason names: keys that alert for the same one alert together. */
export function leadingFeature({ reasons }: Pick<Verdict, 'reasons'>): string {
  return reasons[0]?.feature ?? ''
}
