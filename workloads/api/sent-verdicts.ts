import type { KeyObject } from 'node:crypto'
import type { KafkaRecord } from '../../lib/kafka/records.ts'
import type { Part } from '../../lib/lifecycle.ts'
import { backoff, sleep } from '../../lib/time.ts'
import type { EventPlace } from '../state/state.ts'
import { verdictOf, verifyVerdict } from '../wire/signed-verdict.ts'

export interface SentVerdictsOptions {
  readonly topic: string
  readonly signingKey: KeyObject
  /** Tells of the records of a partition from a place to where it ends now. */
  readonly read: (from: EventPlace, onRecord: (record: KafkaRecord) => void) => Promise<void>
  /** Told of a topic that cannot be read now: it is tried again. */
  readonly onError: (error: unknown) => void
}

/** What the topic says of events that may have been sent. */
export interface SentVerdicts {
  /**
   * The verdicts of those events that are in the topic, JSON by event id. Settles when it is known, however long Kafka
   * is away.
   */
  find(places: ReadonlyMap<string, EventPlace>): Promise<ReadonlyMap<string, string>>
}

interface Asked {
  readonly places: ReadonlyMap<string, EventPlace>
  readonly tell: (found: ReadonlyMap<string, string>) => void
}

/** What came last before a broker was lost may be written yet when it is back. */
const settleMs = 500

export function createSentVerdicts(options: SentVerdictsOptions): SentVerdicts & Part {
  const { topic, signingKey, read, onError } = options
  const over = new AbortController()
  const asked: Asked[] = []
  let isSearching = false

  async function search(places: ReadonlyMap<string, EventPlace>): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>()
    const byPartition = Map.groupBy(places.values(), ({ partition, topicId }) => `${partition} ${topicId}`)
    for (const [first, ...others] of byPartition.values()) {
      const { partition } = first!
      const offset = others.reduce((least, place) => Math.min(least, place.offset), first!.offset)
      await read({ ...first!, offset }, ({ key, value, headers }) => {
        const eventId = verdictOf(headers)?.eventId
        if (eventId === undefined || places.get(eventId)?.partition !== partition || found.has(eventId)) return
        const json = verifyVerdict(signingKey, { topic, key, eventId, value }, headers)
        if (json !== undefined) found.set(eventId, json)
      })
    }
    return found
  }

  async function untilKnown(places: ReadonlyMap<string, EventPlace>): Promise<ReadonlyMap<string, string>> {
    for (let failures = 1; ; failures++) {
      try {
        return await search(places)
      } catch (error) {
        if (over.signal.aborted) throw error
        onError(error)
        await sleep(backoff(failures, { baseMs: 250, maxMs: 2000 }), over)
      }
    }
  }

  /** What is asked for meanwhile is looked for together. */
  async function searchAsked(): Promise<void> {
    while (asked.length > 0 && !over.signal.aborted) {
      await sleep(settleMs, over)
      const taken = asked.splice(0)
      const found = await untilKnown(new Map(taken.flatMap(({ places }) => [...places])))
      for (const { tell } of taken) tell(found)
    }
    isSearching = false
  }

  return {
    name: 'sent verdicts',
    find(places) {
      const { promise, resolve: tell } = Promise.withResolvers<ReadonlyMap<string, string>>()
      asked.push({ places, tell })
      if (!isSearching) {
        isSearching = true
        // Once it is over nobody is told: who waits is cut off with the process.
        searchAsked().catch(() => {})
      }
      return promise
    },
    stop: () => over.abort(),
  }
}
