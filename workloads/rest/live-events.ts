import { AppError } from '../../lib/errors.ts'
import type { Part } from '../../lib/lifecycle.ts'

/** What can be watched as it happens. An alert is a verdict that alerts; an episode is told of when it changes. */
export const liveEventTypes = ['verdict', 'alert', 'episode'] as const
export type LiveEventType = (typeof liveEventTypes)[number]

export interface LiveEvent {
  readonly type: LiveEventType
  /** A JSON value on one line. */
  readonly json: string
}

/** A published verdict; undefined for text that somebody else may have put where verdicts are. */
export function liveVerdict(json: string): LiveEvent | undefined {
  if (!/^\{"eventId":.*\}$/.test(json)) return undefined
  // Within a text of JSON its quotes would be escaped.
  return { type: json.includes('"isAnomaly":true') ? 'alert' : 'verdict', json }
}

/** A published change of an episode; undefined for anything else. */
export function liveEpisode(json: string): LiveEvent | undefined {
  return /^\{"episodeId":.*\}$/.test(json) ? { type: 'episode', json } : undefined
}

export interface LiveListener {
  readonly onEvents: (events: readonly LiveEvent[]) => void
  /** No more come; called at most once, and not after the listener has left. */
  readonly onEnd: (reason: AppError) => void
}

/** Where events come from while anybody listens. @throws AppError */
export type LiveSource = (listener: LiveListener) => Promise<{ stop(): Promise<void> | void }>

/** Tells whoever listens what happens in the pipeline, from the moment on when they began to. */
export interface LiveEvents extends Part {
  /** How many listen. */
  readonly listeners: number
  publish(events: readonly LiveEvent[]): void
  /** Resolves, with how to leave, when nothing is missed any more. @throws AppError Unavailable */
  listen(listener: LiveListener): Promise<() => void>
}

export function createLiveEvents(source: LiveSource = async () => ({ stop() {} })): LiveEvents {
  const listeners = new Set<LiveListener>()
  let waiting = 0
  let opened: ReturnType<LiveSource> | undefined
  let isOver = false

  function publish(events: readonly LiveEvent[]): void {
    for (const { onEvents } of listeners) onEvents(events)
  }

  function open(): ReturnType<LiveSource> {
    const mine = source({
      onEvents: publish,
      onEnd: (reason) => {
        if (opened === mine) end(reason)
      },
    })
    return mine
  }

  function close(): void {
    opened?.then((source) => source.stop()).catch(() => {})
    opened = undefined
  }

  function closeUnused(): void {
    if (waiting === 0 && listeners.size === 0) close()
  }

  function end(reason: AppError): void {
    const told = [...listeners]
    listeners.clear()
    close()
    for (const { onEnd } of told) onEnd(reason)
  }

  return {
    name: 'live events',
    get listeners() {
      return listeners.size
    },
    publish,
    async listen(listener) {
      if (isOver) throw new AppError('Unavailable', 'the process stops')
      waiting++
      try {
        opened ??= open()
        const mine = opened
        await mine
        if (opened !== mine) throw new AppError('Unavailable', 'the stream broke off; try again')
        listeners.add(listener)
      } finally {
        waiting--
        closeUnused()
      }
      return () => {
        listeners.delete(listener)
        closeUnused()
      }
    },
    stop() {
      isOver = true
      end(new AppError('Unavailable', 'the process stops'))
    },
  }
}
