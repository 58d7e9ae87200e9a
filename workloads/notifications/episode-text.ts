import type { Episode } from '../detection/episode.ts'
import { briefReason, counted, formatDuration, formatScore, formatTime } from '../terminal/wording.ts'
import type { Message } from './message.ts'

/** Of which pipeline is told, and where it is looked at. */
export interface Subject {
  readonly namespace: string
  readonly pipeline: string
  /** Where links begin; there are none without it. */
  readonly externalUrl: string | undefined
}

const beginnings = { Opened: 'Anomaly in', StillOpen: 'Still open in', Closed: 'Over in' } as const

/** What and where: `Anomaly in payments: user-0040`. */
export function titleOf({ kind, episode }: Message, { pipeline }: Subject): string {
  return `${beginnings[kind]} ${pipeline}: ${whose(episode)}`
}

/** The same of many: `12 anomalies in payments`, with how many are over. */
export function titleOfMany(messages: readonly Message[], { pipeline }: Subject): string {
  const over = messages.filter(({ kind }) => kind === 'Closed').length
  const open = messages.length - over
  const parts = [
    ...(open > 0 ? [counted(open, 'anomaly', 'anomalies')] : []),
    ...(over > 0 ? [`${counted(over, 'anomaly', 'anomalies')} over`] : []),
  ]
  return `${parts.join(', ')} in ${pipeline}`
}

export function whose({ userId, keys }: Pick<Episode, 'userId' | 'keys'>): string {
  return userId === null ? `${keys} keys together` : userId === '' ? '(no key)' : userId
}

/** Observed and expected: `value 950 (usual 42), interval 12 (usual 4,251)`. */
export function whyOf({ reasons }: Pick<Episode, 'reasons'>): string {
  return reasons.length === 0 ? 'no reason given' : reasons.map(briefReason).join(', ')
}

/** `since 2026-01-31 10:00:00 UTC, 4 alerts, score 0.9995`; of one that is over how long it was. */
export function sinceOf({ kind, episode }: Message): string {
  const { firstTimestamp: first, lastTimestamp: last, alerts, peakScore, partOf } = episode
  const isOver = kind === 'Closed' && first !== null && last !== null
  const time =
    first === null
      ? []
      : [isOver && last! > first ? `for ${formatDuration((last! - first) / 1000)}` : `since ${formatTime(first)} UTC`]
  const joined = partOf === undefined ? [] : ['now part of one of the whole stream']
  return [...time, counted(alerts, 'alert'), `score ${formatScore(peakScore)}`, ...joined].join(', ')
}

/** The page of the episode in the console. */
export function linkTo({ episodeId }: Pick<Episode, 'episodeId'>, { externalUrl }: Subject): string | undefined {
  if (externalUrl === undefined) return undefined
  return `${externalUrl.replace(/\/+$/, '')}/?${new URLSearchParams({ page: 'episode', id: episodeId })}`
}

/** The first page of the console. */
export const linkToAll = ({ externalUrl }: Subject): string | undefined => externalUrl

/** Of many, so many are named. */
export const mostNamed = 10

/** The highest scores first. */
export function worstFirst(messages: readonly Message[]): Message[] {
  return messages.toSorted((a, b) => b.episode.peakScore - a.episode.peakScore)
}

export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`
}
