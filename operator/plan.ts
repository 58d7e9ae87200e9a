import { resolveRedis } from '../lib/pipeline/resolve-pipeline.ts'
import { type Pipeline, roles } from '../lib/pipeline/spec.ts'
import { childName, hashOf, type Parent, restartAnnotation, secretsAnnotation } from './desired/child.ts'
import { desired, type Settings } from './desired/desired.ts'
import { needsOf } from './desired/needs.ts'
import { redisPod } from './desired/redis.ts'
import { redisCopy } from './desired/redis-copy.ts'
import { planReplicas } from './desired/replicas.ts'
import { amountOf } from './desired/resources.ts'
import { consumerBounds } from './lag/consumer-bounds.ts'
import { byRole, type Scope } from './observer.ts'
import { templateOf } from './pipeline-events.ts'
import type { Problem } from './problem.ts'
import { type MoveState, managedOf, moveState, writers } from './redis/redis-move.ts'
import type { RedisRecord } from './redis/redis-pair.ts'
import { type KubeObject, ownedBy } from './runtime/kube-object.ts'

/** What the operator does for a pipeline. */
export interface Plan {
  /** The pipeline that it is for: as its document has it, or still with the Redis that it had. */
  readonly pipeline: Pipeline
  /** Where what was learnt is on its way to another Redis, if it is. */
  readonly move?: MoveState | undefined
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
export function planOf(scope: KnownScope, options: PlanOptions): Plan {
  const { pipeline, document, secrets, workloads } = scope
  const { settings, newSecret } = options
  const parent: Parent = { pipeline, owner: ownedBy(document) }
  const move = scope.move && planMove({ ...scope, move: scope.move }, parent, settings)
  if (scope.move !== undefined && move?.state.phase === 'Done')
    return planOf({ ...scope, pipeline: scope.move.wanted, secrets: scope.move.secrets, move: undefined }, options)
  const isStopped = move?.state.phase === 'Stopping' || move?.state.phase === 'Copying'
  const managed = managedOf(pipeline, scope.move?.wanted ?? pipeline)
  const hasRedis = managed !== undefined
  const signingKey = scope.generated.signingKey ?? newSecret()
  const redisPassword = hasRedis ? (scope.generated.redisPassword ?? newSecret()) : ''
  const redisRecord = managed && redisRecordFor(managed, scope.redisRecord)
  // Who reads the address of Redis at its start reads the other one.
  const renamed = managed === pipeline && redisRecord !== undefined ? ['redis-primary'] : []
  const password = managed === pipeline ? redisPassword : ''
  const bounds = consumerBounds(pipeline, scope.demand)?.applied
  const replicas = byRole((role) => {
    const autoscalerExists = scope.autoscalers.some(({ metadata }) => metadata.name === childName(parent, role))
    const isHeld = isStopped && writers.some((writer) => writer === role)
    const spec = isHeld ? { ...pipeline.spec, desiredState: 'Paused' as const } : pipeline.spec
    const state = { spec, role, live: workloads[role], autoscalerExists }
    return planReplicas({ ...state, bounds: role === 'consumer' ? bounds : undefined })
  })
  const observed = {
    signingKey,
    redisPassword,
    secretHashes: byRole((role) =>
      secrets[role].problem === undefined
        ? hashOf([secrets[role].hash, ...(role === 'recorder' ? [] : [password, signingKey, ...renamed])])
        : // What runs goes on with what it was started with.
          templateOf(workloads[role]).metadata?.annotations?.[secretsAnnotation],
    ),
    replicas,
    consumerBounds: bounds,
    redisRecord,
    move: move && { wanted: move.wanted, job: move.job },
    claimSize: claimSizeOf(workloads.redis),
    servesMonitors: scope.servesMonitors,
    restartAt: document.metadata.annotations?.[restartAnnotation],
  }
  return {
    pipeline,
    move: move?.state,
    desired: desired(parent, observed, settings),
    needs: (object) => needsOf(parent, object),
    handOver: roles.flatMap((role) => (replicas[role].handOver === true ? [workloads[role]!] : [])),
    growing: managed === undefined ? [] : growingOf(managed, scope.claims),
    problems: unique([...problemsOf(move?.state), ...roles.flatMap((role) => secrets[role].problem ?? [])]),
  }
}

type KnownScope = Scope & { readonly pipeline: Pipeline; readonly secrets: NonNullable<Scope['secrets']> }

/** The Job that copies is there from the moment on in which nobody writes, and stays until the move is done. */
function planMove(
  scope: KnownScope & { readonly move: NonNullable<Scope['move']> },
  parent: Parent,
  { workloadImage: image, logLevel, imagePullSecrets }: Settings,
) {
  const { wanted, secrets, jobs, pods: copyPods } = scope.move
  const found = [scope.secrets, secrets].map((of) => of.inference)
  const restartAt = scope.document.metadata.annotations?.[restartAnnotation]
  const secretsHash = hashOf(found.map(({ hash = '' }) => hash))
  const wantedJob = redisCopy({ ...parent, wanted, image, logLevel, imagePullSecrets, secretsHash, restartAt })
  const job = jobs.find(({ metadata }) => metadata.name === wantedJob.metadata.name)
  const lacking = secrets.inference.problem?.message
  const state = moveState({ ...scope, present: scope.pipeline, wanted, job, copyPods, lacking })
  const isCopied = state.phase === 'Copying' || state.phase === 'CopyFailed'
  return { state, wanted, job: isCopied ? wantedJob : undefined }
}

/** What of a move keeps the pipeline from judging, or needs a person. */
function problemsOf(move: MoveState | undefined): readonly Problem[] {
  if (move?.phase === 'CopyFailed') return [{ reason: 'StateNotMoved', message: move.message, stalled: true }]
  const isStopped = move?.phase === 'Stopping' || move?.phase === 'Copying'
  return isStopped ? [{ reason: 'MovingState', message: move.message, stalled: false }] : []
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
