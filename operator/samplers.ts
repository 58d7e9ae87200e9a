import type { Logger } from '../lib/log.ts'
import { resolveRedis } from '../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../lib/pipeline/spec.ts'
import { systemClock } from '../lib/time.ts'
import { isRedisPair, redisPod, redisRecordOf } from './desired/redis.ts'
import { deployments, secrets, services } from './kinds.ts'
import { createLagSampler, type LagSamplerOptions, type LagView } from './lag/lag-sampler.ts'
import type { PodReports } from './pods/pod-reports.ts'
import { createReportReader, type ReportReaderOptions } from './pods/report-reader.ts'
import { createRedisKeeper, type KeptPair, type RedisKeeperOptions } from './redis/redis-keeper.ts'
import { managedOf } from './redis/redis-move.ts'
import type { RedisRecord } from './redis/redis-pair.ts'
import type { KubeObject } from './runtime/kube-object.ts'
import type { NamedObjects } from './runtime/named-objects.ts'
import type { Watches } from './watches.ts'

export interface SamplersOptions {
  readonly log: Logger
  readonly watches: Watches
  readonly named: NamedObjects
  readonly sampling?: Sampling | undefined
  /** Called when what `read` gives has changed enough to be told. */
  readonly changed: (key: string) => void
  /** Asked before Redis is told anything. */
  readonly mayWrite: () => boolean
}

/** How topics and pods are looked at: other ways, and faster, in tests. */
export interface Sampling extends Pick<LagSamplerOptions, 'openAdmin' | 'intervalMs' | 'tellMs'> {
  readonly pods?: Pick<ReportReaderOptions, 'askPod' | 'intervalMs'> | undefined
  readonly redis?: Pick<RedisKeeperOptions, 'addressOf' | 'intervalMs'> | undefined
}

export interface Sampled extends LagView {
  readonly reports?: PodReports | undefined
  readonly redisRecord?: RedisRecord | undefined
}

/** What is looked at beside the reconciles, each in its own time: topics, and what pods say. */
export interface Samplers {
  /** Looks at what belongs to the pipeline from now on, and to the one that it is at present; undefined: no longer. */
  follow(key: string, pipeline: Pipeline | undefined, present?: Pipeline): void
  read(key: string): Sampled
  stop(): void
}

export function createSamplers({ log, watches, named, sampling, changed, mayWrite }: SamplersOptions): Samplers {
  const common = { log, clock: systemClock, random: Math.random, changed }
  const cachedDeployments = watches.cacheOf(deployments)
  const lag = createLagSampler({
    ...common,
    readyConsumers: (key) => readyReplicas(cachedDeployments.get(`${key}-consumer`)),
    secret: named.get,
    ...sampling,
  })
  const reports = createReportReader({
    ...common,
    podsOf: (key, component) => watches.pods.indexed('component', `${key}/${component}`),
    ...sampling?.pods,
  })
  const [cachedServices, cachedSecrets] = [watches.cacheOf(services), watches.cacheOf(secrets)]
  const recordOf = (key: string) => redisRecordOf(cachedServices.get(`${key}-redis-primary`))
  const redis = createRedisKeeper({
    ...common,
    mayWrite,
    recordOf,
    podsOf: (key) => watches.pods.indexed('component', `${key}/redis`),
    passwordOf(key) {
      const { password } = (cachedSecrets.get(`${key}-redis`)?.data ?? {}) as Readonly<Record<string, string>>
      return password === undefined ? undefined : Buffer.from(password, 'base64').toString()
    },
    ...sampling?.redis,
  })
  return {
    follow(key, pipeline, present) {
      lag.follow(key, pipeline)
      reports.follow(key, pipeline !== undefined)
      redis.follow(key, pipeline && keptPair(managedOf(present ?? pipeline, pipeline), recordOf(key)))
    },
    read: (key) => ({ ...lag.read(key), reports: reports.read(key), redisRecord: redis.read(key) }),
    stop() {
      lag.stop()
      reports.stop()
      redis.stop()
    },
  }
}

function keptPair(pipeline: Pipeline | undefined, record: RedisRecord | undefined): KeptPair | undefined {
  if (pipeline === undefined) return undefined
  const redis = resolveRedis(pipeline)
  const { name } = pipeline.metadata
  if (redis.type !== 'managed' || !isRedisPair(name, redis.replicas, record)) return undefined
  const [first, second] = [redisPod(name, 0), redisPod(name, 1)]
  return { pods: [first, second], home: redis.replicas === 1 ? first : undefined }
}

const readyReplicas = (deployment: KubeObject | undefined): number =>
  (deployment?.status as { readyReplicas?: number } | undefined)?.readyReplicas ?? 0
