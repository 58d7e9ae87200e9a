import type { StreamRecord } from '../../lib/kafka/records.ts'
import type { Episode } from '../detection/episode.ts'
import type { Event } from '../detection/event.ts'
import type { OpenEpisodes } from '../detection/open-episodes.ts'
import type { Verdict } from '../detection/verdict.ts'

/** What a stream and its results have of the past. */
export interface PublishedPast {
  /** Milliseconds since 1970. */
  wall(): number
  /** The records of a partition from an offset to, not with, another one, in order. */
  records(partition: number, from: number, to: number): Promise<readonly StreamRecord[]>
  /** The last verdicts of events, JSON, in order, by event id: of each id as many as it has events. */
  verdicts(idCounts: ReadonlyMap<string, number>, since: number): Promise<ReadonlyMap<string, readonly string[]>>
}

export interface CatchUpOptions {
  readonly past: PublishedPast
  readonly partition: number
  /** Offset of the record that comes next. */
  readonly to: number
  readonly eventsOf: (records: readonly StreamRecord[]) => Promise<readonly Event[]>
  /** Whether the event is one whose verdict was not published as it did not alert. */
  readonly isUnpublished: (event: Event) => boolean
}

/** Where more records than these are missed, their episodes are not looked up: it would hold up the partition for long. */
const mostCaughtUp = 50_000

/** Open episodes as they were kept some time before their owner was killed learn of what it published since. */
export async function catchUp(open: OpenEpisodes, options: CatchUpOptions): Promise<void> {
  const { past, partition, to, eventsOf, isUnpublished } = options
  const { place } = open
  if (place === undefined || place.next >= to || to - place.next > mostCaughtUp) return
  const events = await eventsOf(await past.records(partition, place.next, to))
  if (events.length === 0) return
  const idCounts = new Map<string, number>()
  for (const { id } of events) idCounts.set(id, 1 + (idCounts.get(id) ?? 0))
  const verdicts = await past.verdicts(idCounts, place.at)
  const published = new Map(Array.from(verdicts, ([id, of]) => [id, [...of]]))
  const known: Episode[] = []
  for (const event of events) {
    const json = published.get(event.id)?.shift()
    if (json !== undefined) open.add(JSON.parse(json) as Verdict, known)
    else if (isUnpublished(event)) open.pass(event, known)
  }
  open.moveTo({ next: to, at: place.at })
}
