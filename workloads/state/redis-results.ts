import { randomUUID } from 'node:crypto'
import { batches } from './batches.ts'
import type { RedisConnection } from './redis-connection.ts'
import type { Claim, ResultStore } from './state.ts'

/** A claim in the place of a verdict; JSON never begins with it. */
const claimMark = '\0'

/** `result:<eventId>`: a claim, then a verdict. */
export function createRedisResults(
  connection: RedisConnection,
  { keyPrefix }: { readonly keyPrefix: string },
): ResultStore {
  const resultName = (eventId: string): string => `${keyPrefix}result:${eventId}`
  const claim = claimMark + randomUUID()
  return {
    async claim(eventIds, ttlSeconds) {
      const claims: Claim[] = []
      for (const ids of batches(eventIds, Buffer.byteLength)) {
        const before = await connection.write((client) =>
          client.claimResults(ids.length, ids.map(resultName), [claim, String(ttlSeconds)]),
        )
        for (const stored of before as (string | null)[])
          claims.push(
            stored === null
              ? { type: 'Claimed' }
              : stored.startsWith(claimMark)
                ? { type: 'Pending' }
                : { type: 'Verdict', json: stored },
          )
      }
      return claims
    },
    async release(eventIds) {
      for (const ids of batches(eventIds, Buffer.byteLength))
        await connection.write((client) => client.releaseResults(ids.length, ids.map(resultName), [claim]))
    },
    async put(verdicts, ttlSeconds) {
      for (const step of batches(verdicts, ([id, json]) => Buffer.byteLength(id) + Buffer.byteLength(json))) {
        const names = step.map(([id]) => resultName(id))
        const jsons = step.map(([, json]) => json)
        await connection.write((client) =>
          client.putResults(names.length, names, [String(ttlSeconds), claimMark], jsons),
        )
      }
    },
    async get(eventId) {
      const stored = await connection.read((client) => client.get(resultName(eventId)))
      return stored === null || stored.startsWith(claimMark) ? undefined : stored
    },
  }
}
