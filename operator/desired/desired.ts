import { type ResolvedRedis, resolveRedis, resolveRoles, resolveScaling } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline, Role } from '../../lib/pipeline/spec.ts'
import { managedOf } from '../redis/redis-move.ts'
import type { RedisRecord } from '../redis/redis-pair.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { api } from './api.ts'
import { autoscaler } from './autoscaler.ts'
import type { Component, Parent } from './child.ts'
import { consumer } from './consumer.ts'
import { disruptionBudget } from './disruption-budget.ts'
import { inference } from './inference.ts'
import { serviceMonitor } from './monitoring.ts'
import { networkPolicy } from './network-policy.ts'
import { pipelineFile } from './pipeline-file.ts'
import { recorder } from './recorder.ts'
import { isRedisPair, managedRedis } from './redis.ts'
import { redisBackup } from './redis-backup.ts'
import type { Bounds, ReplicasPlan } from './replicas.ts'
import { redisSecret, signingSecret } from './secrets.ts'
import { serviceAccount } from './service-account.ts'
import type { WorkloadInput } from './workload.ts'

/** What the operator was started with that shows in children. */
export interface Settings {
  readonly workloadImage: string
  readonly redisImage: string
  /** Names of Secrets in the namespace of each pipeline. */
  readonly imagePullSecrets?: readonly string[] | undefined
  readonly logLevel: string
  readonly otlpEndpoint?: string | undefined
}

/** What of the world the children of a pipeline depend on. */
export interface Observed {
  readonly replicas: Readonly<Record<Role, ReplicasPlan>>
  /** Hash of the Secrets that a workload reads; undefined while one is missing and the workload never ran: it waits. */
  readonly secretHashes: Readonly<Record<Role, string | undefined>>
  /** Made once, kept from then on. */
  readonly signingKey: string
  /** The same; not used with an external Redis. */
  readonly redisPassword: string
  /** Bounds of the consumers as lag and partitions want them; the document's if absent. */
  readonly consumerBounds?: Bounds | undefined
  /** Which pod of a managed Redis leads, where it has two, or had. */
  readonly redisRecord?: RedisRecord | undefined
  /** With which the volume of Redis was made, where it was. */
  readonly claimSize?: string | undefined
  /** Of the Redis that what was learnt moves to; see redis-move.ts. */
  readonly move?: Move | undefined
  readonly servesMonitors: boolean
  readonly restartAt?: string | undefined
}

export interface Move {
  /** The pipeline with that one. */
  readonly wanted: Pipeline
  /** Present from the moment on in which nobody writes to the former one. */
  readonly job?: KubeObject | undefined
}

const builders = { consumer, inference, api, recorder } as const
/** Whom others call by name comes first. */
const inOrder = ['inference', 'consumer', 'api', 'recorder'] as const

/** Everything that a pipeline is made of, in the order in which it is applied: what an object needs comes before it. */
export function desired(parent: Parent, observed: Observed, settings: Settings): readonly KubeObject[] {
  const { pipeline } = parent
  const { replicas, secretHashes, signingKey, redisPassword, redisRecord, restartAt, move } = observed
  const managed = { ...parent, pipeline: managedOf(pipeline, move?.wanted ?? pipeline) ?? pipeline }
  const redis = resolveRedis(managed.pipeline)
  const { imagePullSecrets } = settings
  const objects = [...serviceAccounts(parent, redis, settings), pipelineFile(parent), signingSecret(parent, signingKey)]
  const roles = resolveRoles(pipeline.spec)
  const { name } = pipeline.metadata
  const policies = { isRedisPair: redis.type === 'managed' && isRedisPair(name, redis.replicas, redisRecord) }
  const present: readonly Component[] = redis.type === 'managed' ? [...roles, 'redis'] : roles
  objects.push(...present.flatMap((component) => networkPolicy(parent, component, policies)))
  if (redis.type === 'managed') {
    const paused = pipeline.spec.desiredState === 'Paused'
    const service = redisRecord === undefined ? 'redis' : 'redis-primary'
    const common = { ...managed, redis, image: settings.redisImage, password: redisPassword, paused, imagePullSecrets }
    objects.push(
      redisSecret(parent, redisPassword, service),
      ...managedRedis({ ...common, record: redisRecord, claimSize: observed.claimSize, restartAt }),
      ...(redis.backup === undefined ? [] : networkPolicy(parent, 'redis-backup', policies)),
      ...redisBackup({ ...common, service }),
    )
  }
  if (move !== undefined) objects.push(...networkPolicy(parent, 'redis-copy', policies))
  if (move?.job !== undefined) objects.push(move.job)
  objects.push(...present.map((component) => disruptionBudget(parent, component)))
  for (const role of inOrder.filter((one) => roles.includes(one))) {
    const secretsHash = secretHashes[role]
    if (secretsHash === undefined) continue
    const { workloadImage: image, logLevel, otlpEndpoint } = settings
    const input: WorkloadInput = {
      ...parent,
      image,
      logLevel,
      otlpEndpoint,
      replicas: replicas[role],
      secretsHash,
      restartAt,
      imagePullSecrets,
    }
    objects.push(...builders[role](input))
    const scaling = resolveScaling(pipeline.spec, role)
    if (role !== 'recorder' && replicas[role].autoscaler && scaling.type === 'autoscaling') {
      const bounds = role === 'consumer' ? observed.consumerBounds : undefined
      objects.push(autoscaler(parent, role, { ...scaling, ...bounds }))
    }
  }
  if (observed.servesMonitors) objects.push(serviceMonitor(parent))
  return objects
}

/** The pipeline's own, and one for each component whose template has annotations for it. */
function serviceAccounts(parent: Parent, redis: ResolvedRedis, { imagePullSecrets }: Settings): readonly KubeObject[] {
  const { spec } = parent.pipeline
  const templates = [
    ...resolveRoles(spec).map((role) => [role, spec[role].template] as const),
    ['redis', redis.type === 'managed' ? redis.template : undefined] as const,
  ]
  const own = templates.flatMap(([component, template]) => {
    const annotations = template?.serviceAccount?.annotations
    return annotations === undefined ? [] : [serviceAccount(parent, imagePullSecrets, { component, annotations })]
  })
  return [serviceAccount(parent, imagePullSecrets), ...own]
}
