import type { RedisConnection } from './redis-connection.ts'
import { type FeatureStore, newNamesAnHour, usedAtMostMs } from './state.ts'

export const featureName = (keyPrefix: string, key: string): string => `${keyPrefix}feature:${key}`

/** The list `schema` of names, `schema:new` for how many are new in this hour, `schema:used` for when each was used, and `feature:<key>`. */
export function createRedisFeatures(
  connection: RedisConnection,
  { keyPrefix, maxFeatures }: { readonly keyPrefix: string; readonly maxFeatures: number },
): FeatureStore {
  const schemaName = `${keyPrefix}schema`
  const usedName = `${schemaName}:used`
  const limits = [String(maxFeatures), String(newNamesAnHour)]
  return {
    names: () => connection.read((client) => client.lrange(schemaName, 0, -1)),
    extend: (names) =>
      connection.writeForGood((client) =>
        client.extendNames(2, [schemaName, `${schemaName}:new`], [...limits, ...names]),
      ) as Promise<string[]>,
    forget: (names) =>
      connection.writeForGood((client) => client.forgetNames(2, [schemaName, usedName], names)) as Promise<string[]>,
    use: (names, ttlMs) =>
      connection.write((client) =>
        client.useNames(2, [schemaName, usedName], [String(ttlMs), String(usedAtMostMs), ...names]),
      ) as Promise<string[]>,
    async last(keys) {
      if (keys.length === 0) return []
      const found = await connection.read((client) => client.mget(keys.map((key) => featureName(keyPrefix, key))))
      return found.map((json) => json ?? undefined)
    },
  }
}
