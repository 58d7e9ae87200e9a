import { createHash } from 'node:crypto'
import { messageOf } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { type Clock, systemClock } from '../../lib/time.ts'
import type { KubeClient } from './kube-client.ts'
import type { KubeObject, Resource } from './kube-object.ts'
import { statusOf } from './kube-status.ts'
import { createLimiter } from './queue.ts'

export const events: Resource = { apiVersion: 'v1', kind: 'Event', plural: 'events', namespaced: true }

export type EventType = 'Normal' | 'Warning'

export interface EventRecorder {
  /**
   * Says what happened to an object, for `kubectl describe`. Returns at once and never fails: an event that cannot be
   * written is logged and forgotten.
   */
  record(object: KubeObject, type: EventType, reason: string, message: string): void
  /** Resolves when everything recorded so far is written or given up. */
  flush(): Promise<void>
}

export interface EventRecorderOptions {
  readonly client: KubeClient
  /** Who says it: shown under "From". */
  readonly component: string
  /** Which process of that component. */
  readonly instance: string
  readonly log: Logger
  readonly clock?: Clock
  /** The same again within this time counts up the event that is there. */
  readonly windowMs?: number
  /** Different messages of one reason within the window, beyond which they are combined into one event. */
  readonly combineAfter?: number
  /** Events of one reason that an object may have written at once, and in the long run; what is beyond is dropped. */
  readonly limit?: { readonly burst: number; readonly perSecond: number }
}

interface Written {
  readonly namespace: string
  readonly name: string
  readonly count: number
}

/** Records core/v1 events: repeated ones are counted, many alike are combined, and no object can flood the API server. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { client, component, instance, log, clock = systemClock } = options
  const { windowMs = 600_000, combineAfter = 10, limit = { burst: 25, perSecond: 1 / 300 } } = options
  const written = createRecent<Written>(clock, windowMs)
  const messages = createRecent<Set<string>>(clock, windowMs)
  const limiters = createRecent<ReturnType<typeof createLimiter>>(
    clock,
    Math.max(windowMs, (limit.burst / limit.perSecond) * 1000),
  )
  let last: Promise<void> = Promise.resolve()
  let waiting = 0

  async function write(object: KubeObject, type: EventType, reason: string, given: string): Promise<void> {
    const { uid = '', name, namespace = 'default', resourceVersion } = object.metadata
    const group = [object.kind, namespace, name, uid, type, reason].join('/')
    const different = messages.get(group) ?? messages.set(group, new Set())
    different.add(given)
    const isCombined = different.size > combineAfter
    const message = (isCombined ? `(combined from similar events) ${given}` : given).slice(0, 1024)
    const identity = isCombined ? group : `${group}/${given}`

    const source = `${uid || name}/${reason}`
    const limiter = limiters.get(source) ?? limiters.set(source, createLimiter(limit, clock))
    if (!limiter.tryTake()) return
    const now = clock.wall()
    const time = new Date(now).toISOString().replace(/\.\d+Z$/, 'Z')
    const before = written.get(identity)
    if (before !== undefined) {
      const count = before.count + 1
      try {
        await client.patch(events, before, { count, lastTimestamp: time, message })
        written.set(identity, { ...before, count })
        return
      } catch (error) {
        // The API server keeps events for an hour; whoever removed this one, it is written anew.
        if (statusOf(error)?.code !== 404) throw error
      }
    }
    const suffix = createHash('sha256').update(`${identity}/${instance}/${now}`).digest('hex').slice(0, 16)
    const event = {
      apiVersion: events.apiVersion,
      kind: events.kind,
      metadata: { name: `${name.slice(0, 200)}.${suffix}`, namespace },
      involvedObject: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        name,
        namespace: object.metadata.namespace,
        uid,
        resourceVersion,
      },
      type,
      reason,
      message,
      source: { component, host: instance },
      reportingComponent: component,
      reportingInstance: instance,
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    }
    await client.create(events, event)
    written.set(identity, { namespace, name: event.metadata.name, count: 1 })
  }

  return {
    record(object, type, reason, message) {
      if (waiting >= 1000) return
      waiting += 1
      last = last
        .then(() => write(object, type, reason, message))
        .catch((error: unknown) =>
          log.warn({ reason, object: object.metadata.name, error: messageOf(error) }, 'cannot write an event'),
        )
        .finally(() => {
          waiting -= 1
        })
    },
    flush: () => last,
  }
}

/** Values that are forgotten when they have not been set or read for so long. */
function createRecent<V>(clock: Clock, ms: number) {
  const values = new Map<string, { value: V; at: number }>()
  return {
    get(key: string): V | undefined {
      const entry = values.get(key)
      if (entry === undefined || clock.monotonic() - entry.at >= ms) return undefined
      return entry.value
    },
    set(key: string, value: V): V {
      const now = clock.monotonic()
      // Oldest first: a Map keeps the order in which its keys came.
      for (const [other, { at }] of values) {
        if (now - at < ms && values.size < 4096) break
        values.delete(other)
      }
      values.delete(key)
      values.set(key, { value, at: now })
      return value
    },
  }
}
