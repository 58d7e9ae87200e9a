import { resolveRedis } from '../lib/pipeline/resolve-pipeline.ts'
import { type Pipeline, roles } from '../lib/pipeline/spec.ts'
import { childName, hashOf, type Parent, restartAnnotation, secretsAnnotation } from './desired/child.ts'
import { desired, type Settings } from './desired/desired.ts'
import { needsOf } from './desired/needs.ts'
import { redisPod } from './desired/redis.ts'
import { planReplicas } from './desired/replicas.ts'
import { amountOf } from './desired/resources.ts'
import { consumerBounds } from './lag/consumer-bounds.ts'
import { byRole, type Scope } from './observer.ts'
import { templateOf } from './pipeline-events.ts'
import type { Problem } from './problem.ts'
import type { RedisRecord } from './redis/redis-pair.ts'
import { type KubeObject, ownedBy } from './runtime/kube-object.ts'

/** What the operator does for a pipeline. */
export interface Plan {
  /** Everything that it is made of, in the order in which it is applied. */
  readonly desired: readonly KubeObject[]
  /** Which of these an object cannot do without. */
  readonly needs: (object: KubeObject) => readonly string[]
  /** Deployments whose replicas first pass to another manager, at their present value. */
  readonly handOver: readonly KubeObject[]
  /** Volumes that are to grow, and how large they are to be. */
  readonly growing: readonly { readonly claim: KubeObject; readonly size: string }[]
  /** What is missing for it. */
  readonly problems: readonly Problem[]
}

export interface PlanOptions {
  readonly settings: Settings
  /** A value that nobody chose, for a Secret that does not exist yet. */
  readonly newSecret: () => string
}

/** Decides what a pipeline needs, by its document and by what was observed: values in, values out. */
export function planOf(
  scope: Scope & { readonly pipeline: Pipeline; readonly secrets: NonNullable<Scope['secrets']> },
  { settings, newSecret }: PlanOptions,
): Plan {
  const { pipeline, document, secrets, workloads } = scope
  const parent: Parent = { pipeline, owner: ownedBy(document) }
  const hasRedis = resolveRedis(pipeline).type === 'managed'
  const signingKey = scope.generated.signingKey ?? newSecret()
  const redisPassword = hasRedis ? (scope.generated.redisPassword ?? newSecret()) : ''
  const redisRecord = hasRedis ? redisRecordFor(pipeline, scope.redisRecord) : undefined
  // Who reads the address of Redis at its start reads the other one.
  const renamed = redisRecord === undefined ? [] : ['redis-primary']
  const bounds = consumerBounds(pipeline, scope.demand)?.applied
  const replicas = byRole((role) => {
    const autoscalerExists = scope.autoscalers.some(({ metadata }) => metadata.name === childName(parent, role))
    const state = { spec: pipeline.spec, role, live: workloads[role], autoscalerExists }
    return planReplicas({ ...state, bounds: role === 'consumer' ? bounds : undefined })
  })
  const observed = {
    signingKey,
    redisPassword,
    secretHashes: byRole((role) =>
      secrets[role].problem === undefined
        ? hashOf([secrets[role].hash, ...(role === 'recorder' ? [] : [redisPassword, signingKey, ...renamed])])
        : // What runs goes on with what it was started with.
          templateOf(workloads[role]).metadata?.annotations?.[secretsAnnotation],
    ),
    replicas,
    consumerBounds: bounds,
    redisRecord,
    claimSize: claimSizeOf(workloads.redis),
    servesMonitors: scope.servesMonitors,
    restartAt: document.metadata.annotations?.[restartAnnotation],
  }
  return {
    desired: desired(parent, observed, settings),
    needs: (object) => needsOf(parent, object),
    handOver: roles.flatMap((role) => (replicas[role].handOver === true ? [workloads[role]!] : [])),
    growing: growingOf(pipeline, scope.claims),
    problems: unique(roles.flatMap((role) => secrets[role].problem ?? [])),
  }
}

function growingOf(pipeline: Pipeline, claims: readonly KubeObject[]): Plan['growing'] {
  const redis = resolveRedis(pipeline)
  if (redis.type !== 'managed' || redis.storage.type === 'Ephemeral') return []
  const { size } = redis.storage
  // One that has no volume yet cannot be changed.
  const isBound = ({ status }: KubeObject) => (status as { readonly phase?: string } | undefined)?.phase === 'Bound'
  const isSmaller = (claim: KubeObject) => amountOf(requestOf(claim) ?? size) < amountOf(size)
  return claims.filter((claim) => isBound(claim) && isSmaller(claim)).map((claim) => ({ claim, size }))
}

interface Claim {
  readonly spec?: { readonly resources?: { readonly requests?: { readonly storage?: string } } }
}
const requestOf = (claim: object): string | undefined => (claim as Claim).spec?.resources?.requests?.storage

/** What a StatefulSet makes its claims of can never change: the claims themselves do. */
function claimSizeOf(statefulSet: KubeObject | undefined): string | undefined {
  const { volumeClaimTemplates } = (statefulSet?.spec ?? {}) as { readonly volumeClaimTemplates?: readonly Claim[] }
  return volumeClaimTemplates?.[0] && requestOf(volumeClaimTemplates[0])
}

/** One pod needs none, unless it was one of two: then its clients know it by the Service that the record lies in. */
function redisRecordFor(pipeline: Pipeline, known: RedisRecord | undefined): RedisRecord | undefined {
  const redis = resolveRedis(pipeline)
  if (known !== undefined || redis.type !== 'managed' || redis.replicas === 1) return known
  return { primary: redisPod(pipeline.metadata.name, 0), inSync: false }
}

/** One for each Secret, though several workloads read it. */
const unique = (problems: readonly Problem[]): readonly Problem[] => [
  ...new Map(problems.map((problem) => [problem.message, problem])).values(),
]
