import type { Episode } from '../detection/episode.ts'
import type { Reason } from '../detection/verdict.ts'
import { briefReason, counted, formatDuration } from '../terminal/wording.ts'

/** The strongest reasons in words: `value 950 (usual 42), interval 12 (usual 4,251)`. */
export function reasonsInWords(reasons: readonly Reason[], most = 2): string {
  const words = reasons.slice(0, most).map(briefReason)
  return words.length === 0 ? 'no reason given' : words.join(', ')
}

export function nameOf({ userId, keys }: Pick<Episode, 'userId' | 'keys'>): string {
  return userId === null ? `${keys} keys together` : userId === '' ? '(no key)' : userId
}

/** `4 alerts over 2.6 hours`. */
export function alertsOver({ alerts, firstTimestamp, lastTimestamp }: Episode): string {
  const count = counted(alerts, 'alert')
  if (firstTimestamp === null || lastTimestamp === null || lastTimestamp === firstTimestamp) return count
  return `${count} over ${formatDuration((lastTimestamp - firstTimestamp) / 1000)}`
}

/** `waiting 0, partition 3`. */
export function detailsInWords(details: Readonly<Record<string, unknown>> | undefined): string {
  return Object.entries(details ?? {})
    .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join(', ')
}

/** `2 minutes ago`, before `now`. */
export function ago(time: number | null, now: number): string {
  if (time === null) return '–'
  return now - time < 1000 ? 'just now' : `${formatDuration((now - time) / 1000)} ago`
}

const spans: readonly (readonly [hours: number, name: string])[] = [
  [1, '1 hour'],
  [6, '6 hours'],
  [24, '24 hours'],
  [168, '7 days'],
  [0, 'all'],
]

export function spanChoices(hours: number): readonly (readonly [hours: number, name: string])[] {
  return spans.some(([one]) => one === hours) ? spans : [...spans, [hours, `${hours} hours`]]
}
