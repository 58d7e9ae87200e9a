import type { ReadRecord } from './java-reader.ts'

export interface Exactness {
  readonly events: number
  readonly verdicts: number
  readonly deadLetters: number
  /** Topics of events that were deleted, and how many of their events had no verdict yet when they were. */
  readonly formerTopics: number
  readonly unjudged: number
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

/** Where an event stands: in which of the topics, one after the other, and where in it. */
interface Place {
  readonly topic: number
  readonly partition: number
  readonly offset: number
}

/**
 * Each event must have one verdict or one dead letter, and the verdicts of a key the order of its events.
 *
 * @param topics what the topic of events had, each time before it was deleted and made anew, and at last. The last ones
 * of each partition may be without a verdict where the topic is gone, those before them may not.
 */
export function exactnessOf(
  topics: readonly (readonly ReadRecord[])[],
  verdicts: readonly ReadRecord[],
  deadLetters: readonly ReadRecord[],
): Exactness {
  const outcomes = new Map<string, number>()
  for (const records of [verdicts, deadLetters])
    for (const { id } of records) outcomes.set(id, (outcomes.get(id) ?? 0) + 1)
  // A producer that did not hear that it was heard may have sent an event twice: then it is two events.
  const sent = new Map<string, number>()
  for (const events of topics) for (const { id } of events) sent.set(id, (sent.get(id) ?? 0) + 1)
  let [doubled, invented, missing, unjudged] = [0, 0, 0, 0]
  for (const [id, times] of outcomes) {
    const most = sent.get(id)
    if (most === undefined) invented += times
    else doubled += Math.max(0, times - most)
  }
  const left = new Map(outcomes)
  /** Takes an outcome of the event; answers whether there was one. */
  const take = (id: string): boolean => {
    const times = left.get(id) ?? 0
    if (times > 0) left.set(id, times - 1)
    return times > 0
  }
  for (const [number, events] of topics.entries()) {
    for (const ofPartition of Map.groupBy(events, ({ partition }) => partition).values()) {
      let waiting = 0
      for (const { id } of ofPartition) {
        if (!take(id)) waiting++
        else {
          missing += waiting
          waiting = 0
        }
      }
      if (number === topics.length - 1) missing += waiting
      else unjudged += waiting
    }
  }
  return {
    events: topics.reduce((sum, { length }) => sum + length, 0),
    verdicts: verdicts.length,
    deadLetters: deadLetters.length,
    formerTopics: topics.length - 1,
    unjudged,
    missing,
    doubled,
    invented,
    disordered: disorderOf(topics, verdicts),
  }
}

function disorderOf(topics: readonly (readonly ReadRecord[])[], verdicts: readonly ReadRecord[]): number {
  const placeOf = new Map<string, Place | undefined>()
  for (const [topic, events] of topics.entries()) {
    for (const { id, partition, offset } of events) {
      // of an event that was sent twice nobody knows which verdict is which
      placeOf.set(id, placeOf.has(id) ? undefined : { topic, partition, offset })
    }
  }
  const last = new Map<string, Place>()
  let disordered = 0
  for (const { id, key } of verdicts) {
    const place = placeOf.get(id)
    if (place === undefined) continue
    const stream = `${place.partition} ${key}`
    const former = last.get(stream)
    if (former !== undefined && isBefore(place, former)) disordered++
    last.set(stream, place)
  }
  return disordered
}

function isBefore(one: Place, other: Place): boolean {
  return one.topic === other.topic ? one.offset < other.offset : one.topic < other.topic
}
