import { tooLong } from '../../lib/bounded-body.ts'
import { AppError } from '../../lib/errors.ts'
import type { KubeObject } from './kube-object.ts'

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  readonly object: KubeObject
}

export interface WatchStreamOptions {
  /** Completes "Cannot …". */
  readonly what: string
  /** Called for each piece of the answer, whole events or not. */
  readonly onBytes: () => void
  /** Called for each event, in order. What it throws ends the watch. */
  readonly onEvent: (event: WatchEvent) => void
}

/** An object has at most 1.5 MiB in etcd, and what the API server adds. */
const longestEvent = 8 << 20

/** The events of a watch, one JSON a line. Resolves when the answer ends; an event of more than 8 MiB fails it. */
export async function readWatch(body: AsyncIterable<Buffer>, options: WatchStreamOptions): Promise<void> {
  const { what, onBytes, onEvent } = options
  let rest: Buffer[] = []
  let held = 0
  for await (const chunk of body) {
    onBytes()
    let from = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
      rest.push(chunk.subarray(from, end))
      from = end + 1
      const line = rest.length === 1 ? rest[0]! : Buffer.concat(rest)
      rest = []
      held = 0
      if (line.length > 0) onEvent(eventOf(line, what))
    }
    if (from < chunk.length) {
      rest.push(chunk.subarray(from))
      held += chunk.length - from
      if (held > longestEvent) throw tooLong(longestEvent, what)
    }
  }
  if (held > 0) throw new AppError('Unavailable', `Cannot ${what}: it ended in the middle of an event`)
}

function eventOf(line: Buffer, what: string): WatchEvent {
  let event: WatchEvent | undefined
  try {
    event = JSON.parse(line.toString('utf8')) as WatchEvent
  } catch (error) {
    throw new AppError('Unavailable', `Cannot ${what}: an event is not JSON`, { cause: error })
  }
  if (typeof event?.type !== 'string' || typeof event.object !== 'object' || event.object === null) {
    throw new AppError('Unavailable', `Cannot ${what}: an event has no type or no object`)
  }
  return event
}
