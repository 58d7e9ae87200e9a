import { randomUUID } from 'node:crypto'
import { batches } from './batches.ts'
import type { RedisConnection } from './redis-connection.ts'
import { type Claim, type ClaimedEvent, claimantSeconds, type EventPlace, type ResultStore } from './state.ts'

/**
 * What a stored result begins with. Claim: its claimant, fingerprint and place follow, a line each. TakenOver: only in
 * answers of the script, before a place. Verdict: fingerprint, line feed, JSON. JSON begins with none of them.
 */
const marks = { Claim: '\0', TakenOver: '\x02', Verdict: '\x01' } as const

/** `result:<eventId>`: a claim, then a verdict. `claimant:<id>` is there while a process lives. */
export function createRedisResults(
  connection: RedisConnection,
  { keyPrefix }: { readonly keyPrefix: string },
): ResultStore {
  const resultName = (eventId: string): string => `${keyPrefix}result:${eventId}`
  const claimants = `${keyPrefix}claimant:`
  const claimant = randomUUID()
  const claimantName = claimants + claimant

  return {
    async claim(events, ttlSeconds) {
      const claims: Claim[] = []
      for (const step of batches(events, sizeOfClaim)) {
        const names = [claimantName, ...step.map(({ eventId }) => resultName(eventId))]
        const args = [marks.Claim, claimant, String(ttlSeconds), String(claimantSeconds), claimants]
        const each = step.flatMap(({ fingerprint, place }) => [fingerprint, placeText(place)])
        const before = await connection.writeForGood((client) => client.claimResults(names.length, names, args, each))
        for (const stored of before as (string | null)[]) claims.push(claimOf(stored))
      }
      return claims
    },
    async live() {
      await connection.write((client) => client.set(claimantName, '', 'EX', claimantSeconds))
    },
    async release(eventIds) {
      for (const ids of batches(eventIds, Buffer.byteLength))
        await connection.write((client) =>
          client.releaseResults(ids.length, ids.map(resultName), [marks.Claim + claimant]),
        )
    },
    async put(results, ttlSeconds) {
      for (const step of batches(
        results,
        ({ eventId, json }) => Buffer.byteLength(eventId) + Buffer.byteLength(json),
      )) {
        const names = step.map(({ eventId }) => resultName(eventId))
        const values = step.map(({ json, fingerprint }) =>
          fingerprint === undefined ? json : `${marks.Verdict}${fingerprint}\n${json}`,
        )
        await connection.write((client) =>
          client.putResults(names.length, names, [String(ttlSeconds), marks.Claim], values),
        )
      }
    },
    async get(eventId) {
      const found = claimOf(await connection.read((client) => client.get(resultName(eventId))))
      return found.type === 'Verdict' ? found.json : undefined
    },
  }
}

function claimOf(stored: string | null): Claim {
  if (stored === null) return { type: 'Claimed' }
  const [first = '', second = ''] = stored.slice(1).split('\n', 2)
  switch (stored[0]) {
    case marks.Claim:
      return { type: 'Pending', fingerprint: second === '' ? undefined : second }
    case marks.TakenOver: {
      return { type: 'Abandoned', place: placeIn(first) }
    }
    case marks.Verdict:
      return { type: 'Verdict', json: stored.slice(first.length + 2), fingerprint: first }
    default:
      return { type: 'Verdict', json: stored, fingerprint: undefined }
  }
}

function sizeOfClaim({ eventId, fingerprint }: ClaimedEvent): number {
  return Buffer.byteLength(eventId) + fingerprint.length
}

function placeText({ partition, offset, topicId }: EventPlace): string {
  return `${partition}:${offset}${topicId === undefined ? '' : `:${topicId}`}`
}

function placeIn(text: string): EventPlace {
  const [partition, offset, topicId] = text.split(':')
  return { partition: Number(partition), offset: Number(offset), ...(topicId === undefined ? {} : { topicId }) }
}
