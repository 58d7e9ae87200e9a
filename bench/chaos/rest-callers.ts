import { setTimeout as delay } from 'node:timers/promises'
import { eventOf } from '../../test/integration/consumer/cluster.ts'
import type { Gate } from './gate.ts'
import type { ReadRecord } from './java-reader.ts'

export interface RestOutcomes {
  /** The verdict that each id was answered with. */
  readonly verdicts: ReadonlyMap<string, string>
  /** Ids whose caller was told that nothing is stored, and did not try again. */
  readonly givenUp: ReadonlySet<string>
  /** Ids whose caller never learnt what became of them. */
  readonly unknown: number
  /** How often each answer came. */
  readonly answers: Readonly<Record<string, number>>
  /** The longest time until an id was answered, in seconds. */
  readonly slowestSeconds: number
}

export interface RestExactness {
  readonly answers: RestOutcomes['answers']
  readonly slowestSeconds: number
  readonly accepted: number
  readonly givenUp: number
  readonly unknown: number
  /** Answered with a verdict, and not in the topic. */
  readonly missing: number
  /** More than once in the topic. */
  readonly doubled: number
  /** In the topic, though the answer was that nothing is stored. */
  readonly stored: number
  /** Another verdict was published than was answered. */
  readonly differing: number
  /** Some of the ids that the last four count. */
  readonly examples: readonly string[]
}

const prefix = 'rest-'
export const isOfRest = (id: string): boolean => id.startsWith(prefix)

const callers = 4
/** One in so many gives up where nothing is stored. */
const givingUp = 10
/** Longer than any fault lasts, and than what it leaves behind. */
const patienceMs = 120_000

/** Each event until its caller has a verdict. */
export async function callRest(url: string, gate: Gate, signal: AbortSignal): Promise<RestOutcomes> {
  const verdicts = new Map<string, string>()
  const givenUp = new Set<string>()
  const answers: Record<string, number> = {}
  let [next, unknown, slowestMs] = [0, 0, 0]

  async function untilAnswered(n: number): Promise<void> {
    const event = { ...eventOf(n), eventId: `${prefix}${n}` }
    const began = performance.now()
    const took = (): number => performance.now() - began
    while (took() < patienceMs) {
      const { told, json, isNothingStored = false } = await detect(url, event)
      answers[told] = (answers[told] ?? 0) + 1
      if (json !== undefined) verdicts.set(event.eventId, json)
      else if (isNothingStored && n % givingUp === 0) givenUp.add(event.eventId)
      else {
        await delay(200)
        continue
      }
      slowestMs = Math.max(slowestMs, took())
      return
    }
    unknown++
  }

  async function caller(): Promise<void> {
    while (!signal.aborted) {
      await gate.pass(() => untilAnswered(next++))
      await delay(100)
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  return { verdicts, givenUp, unknown, answers, slowestSeconds: Math.round(slowestMs / 1000) }
}

interface Answer {
  /** In words, as it is counted. */
  readonly told: string
  /** The verdict. */
  readonly json?: string
  readonly isNothingStored?: boolean
}

async function detect(url: string, event: object): Promise<Answer> {
  try {
    const response = await fetch(`${url}/api/v1/detect`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(event),
      signal: AbortSignal.timeout(10_000),
    })
    const text = await response.text()
    if (response.status === 200) return { told: '200', json: text }
    const { stored, detail } = JSON.parse(text) as { readonly stored?: string; readonly detail: string }
    return { told: `${response.status} ${stored}: ${detail}`, isNothingStored: stored === 'Nothing' }
  } catch (error) {
    return { told: error instanceof DOMException ? 'no answer' : 'cut' }
  }
}

/** @param topics as of `exactnessOf` */
export function restExactnessOf(
  { verdicts, givenUp, unknown, answers, slowestSeconds }: RestOutcomes,
  topics: readonly (readonly ReadRecord[])[],
  published: readonly ReadRecord[],
): RestExactness {
  const times = new Map<string, number>()
  for (const events of topics) for (const { id } of events) if (isOfRest(id)) times.set(id, (times.get(id) ?? 0) + 1)
  const ofRest = published.filter(({ id }) => isOfRest(id))
  const publishedOf = Map.groupBy(ofRest, ({ id }) => id)
  const examples: string[] = []
  const countOf = (ids: Iterable<string>, is: (id: string) => boolean): number => {
    const found = [...ids].filter(is)
    examples.push(...found.slice(0, 3))
    return found.length
  }
  return {
    answers,
    slowestSeconds,
    accepted: verdicts.size,
    givenUp: givenUp.size,
    unknown,
    missing: countOf(verdicts.keys(), (id) => !times.has(id)),
    doubled: countOf(times.keys(), (id) => times.get(id)! > 1),
    stored: countOf(givenUp, (id) => times.has(id)),
    differing: countOf(verdicts.keys(), (id) => {
      const ofEvent = publishedOf.get(id)
      // Where it was judged less often than it is stored, the answer may be of one whose topic was deleted before.
      if (ofEvent === undefined || ofEvent.length < (times.get(id) ?? 0)) return false
      return !ofEvent.some(({ value }) => value === verdicts.get(id))
    }),
    examples,
  }
}
