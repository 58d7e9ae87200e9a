import { resolveRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { maxFeatures } from '../detection/feature-schema.ts'
import type { RedisStateOptions } from '../state/redis.ts'
import type { RedisTls } from '../state/redis-address.ts'
import { textOfFile } from './text-file.ts'

export interface RedisArguments {
  readonly redisUrl: string
  /** PEM files; given, they turn TLS on. */
  readonly redisCaFile?: string | undefined
  readonly redisCertFile?: string | undefined
  readonly redisKeyFile?: string | undefined
}

/** Of `Detection.saveKey` and `savePartition`: to be raised with every change of how they lay out their bytes. */
const encoding = 1

type RedisSettings = Omit<RedisStateOptions, 'log'>

/**
 * Where and how a pipeline keeps its state: the address and its secrets come from flags, the rest is the pipeline's.
 * @throws AppError InvalidArgument
 */
export function redisSettingsOf(pipeline: Pipeline, args: RedisArguments): RedisSettings {
  const { redisUrl, redisCaFile, redisCertFile, redisKeyFile } = args
  const { profileTtlSeconds, featureTtlSeconds } = pipeline.spec.state
  const redis = resolveRedis(pipeline)
  return {
    url: redisUrl,
    replicas: redis.type === 'managed' ? redis.replicas : undefined,
    tls: redisTlsFiles(redisCaFile, redisCertFile, redisKeyFile),
    keyPrefix: redis.type === 'external' ? redis.keyPrefix : undefined,
    encoding,
    profileTtlSeconds,
    featureTtlSeconds,
    maxFeatures,
  }
}

/**
 * The texts of the PEM files; undefined where none is named.
 * @throws AppError InvalidArgument
 */
export function redisTlsFiles(ca?: string, cert?: string, key?: string): RedisTls | undefined {
  if (ca === undefined && cert === undefined) return undefined
  return { ca: textOfFile(ca), cert: textOfFile(cert), key: textOfFile(key) }
}
