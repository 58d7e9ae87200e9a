import type { ReadRecord } from './java-reader.ts'

export interface Exactness {
  readonly events: number
  readonly verdicts: number
  readonly deadLetters: number
  /** Events without a verdict and without a dead letter. */
  readonly missing: number
  /** Verdicts and dead letters beyond the first of an event. */
  readonly doubled: number
  /** Verdicts and dead letters of events that are not in the topic. */
  readonly invented: number
  /** Verdicts that come before that of an earlier event of their key and partition. */
  readonly disordered: number
}

export const isExact = ({ missing, doubled, invented, disordered }: Exactness): boolean =>
  missing + doubled + invented + disordered === 0

interface Named {
  readonly eventId?: unknown
  readonly userId?: unknown
}

/** Each event must have one verdict or one dead letter, and the verdicts of a key the order of its events. */
export function exactnessOf(
  events: readonly ReadRecord[],
  verdicts: readonly ReadRecord[],
  deadLetters: readonly ReadRecord[],
): Exactness {
  const places = new Map(events.map(({ partition, offset, value }) => [`${partition}-${offset}`, idIn(value)]))
  const outcomes = new Map<string, number>()
  const count = (id: string): void => void outcomes.set(id, (outcomes.get(id) ?? 0) + 1)
  const idOfPlace = (partition: string, offset: string): string =>
    places.get(`${partition}-${offset}`) ?? `${partition}-${offset}`
  for (const { value } of verdicts) count(idIn(value) ?? value)
  for (const { headers } of deadLetters)
    count(idOfPlace(headers.get('anomaly-partition') ?? '', headers.get('anomaly-offset') ?? ''))
  // A producer that did not hear that it was heard may have sent an event twice: then it is two events.
  const wanted = new Map<string, number>()
  for (const { partition, offset, value } of events) {
    const id = idIn(value) ?? `${partition}-${offset}`
    wanted.set(id, (wanted.get(id) ?? 0) + 1)
  }
  let [doubled, invented, missing] = [0, 0, 0]
  for (const [id, times] of outcomes) {
    const most = wanted.get(id)
    if (most === undefined) invented += times
    else doubled += Math.max(0, times - most)
  }
  for (const [id, times] of wanted) missing += Math.max(0, times - (outcomes.get(id) ?? 0))
  return {
    events: events.length,
    verdicts: verdicts.length,
    deadLetters: deadLetters.length,
    missing,
    doubled,
    invented,
    disordered: disorderOf(events, verdicts),
  }
}

function disorderOf(events: readonly ReadRecord[], verdicts: readonly ReadRecord[]): number {
  /** Where each event stands: its partition, and its offset. */
  const placeOf = new Map<string | undefined, { readonly partition: number; readonly offset: number } | undefined>()
  for (const { partition, offset, value } of events) {
    const id = idIn(value)
    // of an event that was sent twice nobody knows which verdict is which
    placeOf.set(id, placeOf.has(id) ? undefined : { partition, offset })
  }
  const last = new Map<string, number>()
  let disordered = 0
  for (const { key, value } of verdicts) {
    const place = placeOf.get(idIn(value))
    if (place === undefined) continue
    const stream = `${place.partition} ${key}`
    if (place.offset < (last.get(stream) ?? -1)) disordered++
    last.set(stream, place.offset)
  }
  return disordered
}

function idIn(json: string): string | undefined {
  try {
    const { eventId } = JSON.parse(json) as Named
    return typeof eventId === 'string' ? eventId : undefined
  } catch {
    return undefined
  }
}
