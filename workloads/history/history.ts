import { AppError } from '../../lib/errors.ts'
import type { Episode } from '../detection/episode.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { DecidedEvent } from '../detection/what-if.ts'

/** A verdict to keep. */
export interface JudgedEvent {
  readonly verdict: Verdict
  /** The verdict as it was published. */
  readonly json: string
  /** NaN without a value. */
  readonly value: number
  /** The event as it came, JSON, where that is to be kept. */
  readonly event?: string | undefined
}

/** What is asked for; times are of events, in milliseconds since 1970, `from` inclusive and `to` exclusive. */
export interface VerdictQuery {
  readonly key?: string | undefined
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly anomalies?: boolean | undefined
  /** Feature that the strongest reason names. */
  readonly reason?: string | undefined
}

export interface EpisodeQuery {
  readonly key?: string | undefined
  /** Episodes that had events within the time. */
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly state?: Episode['state'] | undefined
}

/** The latest first. */
export interface PageOptions {
  readonly limit: number
  /** Where the page before ended. */
  readonly cursor?: string | undefined
}

export interface Page<Item> {
  readonly items: readonly Item[]
  /** Where the next page begins; undefined after the last one. */
  readonly next: string | undefined
}

/** What a key's events were like in a stretch of time. */
export interface SeriesPoint {
  /** Time of its first event. */
  readonly time: number
  readonly events: number
  /** Mean, least and greatest value; null where no event had one. */
  readonly value: number | null
  readonly low: number | null
  readonly high: number | null
  /** Greatest anomaly score, and the threshold of that event. */
  readonly score: number
  readonly threshold: number
  readonly alerts: number
  /** What was expected of the event that alerted, where its strongest reason is the value. */
  readonly expected: number | null
}

/** A key's alerts over time. */
export interface Lane {
  readonly key: string
  readonly alerts: number
  /** Greatest anomaly score of an alert in each stretch of time; 0 without one. */
  readonly scores: readonly number[]
}

export interface LaneQuery {
  readonly from: number
  readonly to: number
  /** How many stretches the time is cut into. */
  readonly buckets: number
  readonly limit: number
  readonly offset: number
}

export interface DecidedQuery {
  readonly from: number
  readonly to: number
  /** The latest so many within the time. */
  readonly limit: number
}

/** What was judged, and the episodes: written as it happens, read by whoever looks back. */
export interface History {
  record(events: readonly JudgedEvent[], episodes: readonly Episode[]): Promise<void>
  /** The verdict of an event, JSON as it was published; of several with one id, the first. */
  result(eventId: string): Promise<string | undefined>
  /** The event as it came, JSON, where it is kept. */
  event(eventId: string): Promise<string | undefined>
  /** JSON as published. @throws AppError InvalidArgument for a cursor that no page ended with */
  results(query: VerdictQuery, page: PageOptions): Promise<Page<string>>
  episode(episodeId: string): Promise<Episode | undefined>
  /** As they are now. @throws AppError InvalidArgument for a cursor that no page ended with */
  episodes(query: EpisodeQuery, page: PageOptions): Promise<Page<Episode>>
  /** A key's events from its first to its last within the time, in at most so many stretches. */
  series(
    key: string,
    query: { readonly from?: number; readonly to?: number; readonly points: number },
  ): Promise<readonly SeriesPoint[]>
  /** Keys that alerted within the time, most alerts first. */
  lanes(query: LaneQuery): Promise<readonly Lane[]>
  /** Events with their scores and what was decided on them, in the order of their times, in portions. */
  decided(query: DecidedQuery): AsyncIterable<readonly DecidedEvent[]>
  /** Times of the earliest and the latest event; undefined before the first. */
  span(): Promise<{ readonly first: number; readonly last: number } | undefined>
  close(): Promise<void>
}

/** What was expected of the event that alerted, where its strongest reason is the value. */
export function expectedValueOf({
  isAnomaly,
  reasons: [first],
}: Pick<Verdict, 'isAnomaly' | 'reasons'>): number | null {
  return isAnomaly && first?.feature === 'value' ? first.expected : null
}

/** A row of a page, and where it lies; numbers may come as text. */
export interface PlacedRow {
  readonly place: number | string
  readonly id: number | string
  readonly json: string
}

/** @param rows one more than `limit` where there is another page */
export function pageOfRows(rows: readonly PlacedRow[], limit: number): Page<string> {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return {
    items: items.map(({ json }) => json),
    next: rows.length > limit && last !== undefined ? cursorOf(Number(last.place), Number(last.id)) : undefined,
  }
}

/** Columns that every history has, and the verdict's JSON where it alerted or its score reached the threshold. */
export interface DecidedRow {
  readonly eventId: string
  readonly key: string
  readonly time: number
  readonly score: number
  readonly threshold: number
  readonly isAnomaly: boolean
  readonly feature: string
  readonly json: string | null
}

export function decidedEventOf({ json, ...row }: DecidedRow): DecidedEvent {
  if (json === null) return { ...row, isHit: false }
  const { reasons, suppressedBy } = JSON.parse(json) as Pick<Verdict, 'reasons' | 'suppressedBy'>
  return { ...row, isHit: row.isAnomaly && reasons.some(({ rule }) => rule !== undefined), suppressedBy }
}

/** What databases and calendars have; an event may claim any time. */
const [earliest, latest] = [Date.UTC(-4000, 0, 1), 8.64e15]

/** Events without a time lie together at the beginning, in the order in which they came. */
export function timeOf(timestamp: number | null): number {
  return timestamp === null ? 0 : Math.min(latest, Math.max(earliest, Math.floor(timestamp)))
}

/** The page's place in words that a URL takes; `order` is a number that grows with time, `id` tells equals apart. */
function cursorOf(order: number, id: number): string {
  return `${order}.${id}`
}

/** @throws AppError InvalidArgument where it is none */
export function placeOf(cursor: string): readonly [order: number, id: number] {
  const match = /^(-?\d{1,16})\.(\d{1,16})$/.exec(cursor)
  if (match === null) throw new AppError('InvalidArgument', `cursor: ${JSON.stringify(cursor)} is the end of no page`)
  return [Number(match[1]), Number(match[2])]
}
