import type { Part } from '../../lib/lifecycle.ts'
import { createRedisConnection, type RedisConnectionOptions } from './redis-connection.ts'
import { createRedisFeatures } from './redis-features.ts'
import { createRedisModels } from './redis-models.ts'
import { createRedisPartitions, type RedisPartitionsOptions } from './redis-partitions.ts'
import { createRedisResults } from './redis-results.ts'
import { createRedisSaid } from './redis-said.ts'
import type { StateStore } from './state.ts'

export interface RedisStateOptions extends RedisConnectionOptions, Omit<RedisPartitionsOptions, 'keyPrefix'> {
  /** What the names of all keys begin with. */
  readonly keyPrefix?: string | undefined
  readonly maxFeatures: number
}

/** State in one Redis server. As a part it is started before and stopped after whatever uses it. */
export interface RedisState extends StateStore, Part {}

/** @throws AppError InvalidArgument where URL or certificates are unusable */
export function createRedisState(options: RedisStateOptions): RedisState {
  const connection = createRedisConnection(options)
  const names = { ...options, keyPrefix: options.keyPrefix ?? '' }
  return {
    name: connection.name,
    partitions: createRedisPartitions(connection, names),
    features: createRedisFeatures(connection, names),
    results: createRedisResults(connection, names),
    models: createRedisModels(connection, names),
    said: createRedisSaid(connection, names),
    problem: connection.problem,
    start: connection.start,
    stop: connection.stop,
  }
}
