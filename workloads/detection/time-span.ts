/** From the first event to the last, in ms since 1970. */
export interface TimeSpan {
  readonly first: number
  readonly last: number
}

/** What both cover, with what lies between them. */
export function joined(one: TimeSpan | undefined, other: TimeSpan | undefined): TimeSpan | undefined {
  if (one === undefined || other === undefined) return one ?? other
  if (other.first >= one.first && other.last <= one.last) return one
  return { first: Math.min(one.first, other.first), last: Math.max(one.last, other.last) }
}

/** Of the events that have a time; undefined where none has. */
export function spanOf(events: readonly { readonly time: number }[]): TimeSpan | undefined {
  let first = Number.POSITIVE_INFINITY
  let last = Number.NEGATIVE_INFINITY
  for (let i = 0; i < events.length; i++) {
    const { time } = events[i]!
    if (time < first) first = time
    if (time > last) last = time
  }
  return first <= last ? { first, last } : undefined
}
