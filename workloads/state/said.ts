import { AppError } from '../../lib/errors.ts'
import type { Feedback, FeedbackLabel, Said } from '../detection/feedback.ts'

export interface SaidQuery {
  readonly userId?: string | undefined
  readonly label?: FeedbackLabel | undefined
}

export interface SaidPage {
  readonly items: readonly Said[]
  /** To go on with; undefined where there is no more. */
  readonly next: string | undefined
}

/** What people said, newest first. Of an event what was said last; the oldest makes room. */
export interface SaidStore {
  /** Adds what was learnt. The same again changes nothing. */
  put(said: readonly Feedback[]): Promise<void>
  /** @throws AppError InvalidArgument for a cursor that is none */
  list(query: SaidQuery, page: { readonly limit: number; readonly cursor?: string | undefined }): Promise<SaidPage>
}

/** Events of which it is known what was said. */
export const mostSaid = 10_000
const mostReasons = 3

/** Of what is no withdrawal. */
export function saidOf({ eventId, key, label, time, by, anomalyScore, reasons }: Feedback): Said {
  return {
    eventId,
    userId: key,
    label: label as Said['label'],
    time,
    by: by ?? null,
    withdrawnAt: null,
    anomalyScore,
    reasons: reasons.slice(0, mostReasons),
  }
}

/** Withdrawn: what was taken back, whatever it was; the others: what is not. */
export function matches({ userId, label, withdrawnAt }: Said, query: SaidQuery): boolean {
  if (query.userId !== undefined && userId !== query.userId) return false
  if (query.label === undefined) return true
  return query.label === 'Withdrawn' ? withdrawnAt !== null : withdrawnAt === null && label === query.label
}

/** Where a page ends. */
export interface SaidPlace {
  readonly time: number
  readonly eventId: string
}

export function cursorOf({ time, eventId }: SaidPlace): string {
  return `${time}:${eventId}`
}

/** @throws AppError InvalidArgument */
export function placeOf(cursor: string | undefined): SaidPlace | undefined {
  if (cursor === undefined) return undefined
  const [, time, eventId] = /^(-?\d+(?:\.\d+)?):(.*)$/s.exec(cursor) ?? []
  if (time === undefined) throw new AppError('InvalidArgument', `cursor: ${JSON.stringify(cursor)} is of no page`)
  return { time: Number(time), eventId: eventId! }
}

/** Whether it comes after a page that ends there. */
export function isAfter({ time, eventId }: SaidPlace, place: SaidPlace | undefined): boolean {
  if (place === undefined || time !== place.time) return place === undefined || time < place.time
  return Buffer.compare(Buffer.from(eventId), Buffer.from(place.eventId)) < 0
}

/** In the memory of one process. */
export function createMemorySaid(): SaidStore {
  const known = new Map<string, Said>()
  return {
    async put(feedback) {
      for (const one of feedback) {
        const before = known.get(one.eventId)
        if (one.label !== 'Withdrawn') {
          if (before !== undefined && (before.withdrawnAt ?? before.time) >= one.time) continue
          known.delete(one.eventId)
          known.set(one.eventId, saidOf(one))
        } else if (before !== undefined && before.time <= one.time) {
          known.set(one.eventId, { ...before, withdrawnAt: one.time })
        }
      }
      for (const eventId of known.keys()) {
        if (known.size <= mostSaid) break
        known.delete(eventId)
      }
    },
    async list(query, { limit, cursor }) {
      const place = placeOf(cursor)
      const found = [...known.values()].filter((said) => matches(said, query) && isAfter(said, place))
      const items = found.sort((a, b) => (isAfter(a, b) ? 1 : -1)).slice(0, limit)
      return { items, next: found.length > items.length && items.length > 0 ? cursorOf(items.at(-1)!) : undefined }
    },
  }
}
