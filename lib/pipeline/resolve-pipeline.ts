import { join } from 'node:path'
import {
  type DetectionSpec,
  type EventMapping,
  type Pipeline,
  type PipelineSpec,
  type Role,
  roles,
  unionDefaults,
} from './spec.ts'

/** What the absent members of the document's unions mean. Each takes a valid pipeline or a part of it. */

export type ResolvedDetector =
  | { readonly name: string; readonly type: 'profile'; readonly halfLifeEvents: number }
  | {
      readonly name: string
      readonly type: 'isolationForest'
      readonly trees: number
      readonly sampleSize: number
      readonly refitEvents: number
    }
  | { readonly name: string; readonly type: 'discord' }
  | ResolvedOnnx

/** A model that somebody else made. */
export interface ResolvedOnnx {
  readonly name: string
  readonly type: 'onnx'
  readonly from: OnnxSpec['from']
  readonly kind: NonNullable<OnnxSpec['kind']>
  readonly inputs: readonly string[]
  readonly output?: string
  readonly anomalous: NonNullable<OnnxSpec['anomalous']>
  readonly timeoutMs: number
}

type OnnxSpec = NonNullable<NonNullable<DetectionSpec['detectors']>[number]['onnx']>

/** Where the operator mounts models, a folder a detector. */
export const onnxFolder = '/etc/anomaly/onnx'

/** The file of a model; those of ConfigMaps and volumes are below the folder. */
export function onnxPathOf({ name, from }: Pick<ResolvedOnnx, 'name' | 'from'>, folder: string): string {
  const { configMap, persistentVolumeClaim, file } = from
  return file ?? join(folder, name, configMap?.key ?? persistentVolumeClaim?.path ?? '')
}

/** The detectors with all their options; profile and forest if none is given. */
export function resolveDetectors({ detectors }: Pick<DetectionSpec, 'detectors'>): readonly ResolvedDetector[] {
  const stated = detectors ?? [
    { name: 'profile', profile: {} },
    { name: 'forest', isolationForest: {} },
  ]
  return stated.map(({ name, profile, isolationForest, onnx }: NonNullable<DetectionSpec['detectors']>[number]) => {
    if (profile !== undefined) return { name, type: 'profile', ...unionDefaults.profile, ...profile }
    if (isolationForest !== undefined)
      return { name, type: 'isolationForest', ...unionDefaults.isolationForest, ...isolationForest }
    if (onnx !== undefined) return { name, type: 'onnx', ...unionDefaults.onnx, ...onnx }
    return { name, type: 'discord' }
  })
}

type AlertBudgetMode = NonNullable<NonNullable<DetectionSpec['alertBudget']>['mode']>

/** Names of the detectors that score with a model, in the order in which models are stored and answer. */
export function resolveModelNames(detection: Pick<DetectionSpec, 'detectors'>): readonly string[] {
  return resolveDetectors(detection)
    .filter(({ type }) => type === 'isolationForest' || type === 'onnx')
    .map(({ name }) => name)
}

/** How it is decided what is an anomaly: by a share of the events or by a fixed anomaly score. */
export type Decision =
  | { readonly type: 'alertBudget'; readonly perMillion: number; readonly mode: AlertBudgetMode }
  | { readonly type: 'threshold'; readonly anomalyScore: number }

/** `alertBudgetPerMillion: n` is short for `alertBudget: {perMillion: n}`. */
export function resolveDecision(
  detection: Pick<DetectionSpec, 'alertBudget' | 'alertBudgetPerMillion' | 'threshold'>,
): Decision {
  if (detection.threshold !== undefined) return { type: 'threshold', anomalyScore: Number(detection.threshold) }
  const { perMillion = detection.alertBudgetPerMillion, mode } = detection.alertBudget ?? {}
  const defaults = unionDefaults.alertBudget
  return {
    type: 'alertBudget',
    perMillion: perMillion ?? defaults.perMillion,
    mode: mode ?? defaults.mode,
  }
}

/** Where the features of an event are: in an object, in fields of the event itself (names or `start*`), or nowhere. */
export type FeatureSource =
  | { readonly type: 'object'; readonly field: string }
  | { readonly type: 'fields'; readonly names: readonly string[] }
  | { readonly type: 'none' }

export function resolveFeatures(event: Pick<EventMapping, 'features' | 'featureFields'>): FeatureSource {
  if (event.featureFields !== undefined) return { type: 'fields', names: event.featureFields }
  const field = event.features ?? unionDefaults.features
  return field === '' ? { type: 'none' } : { type: 'object', field }
}

/**
 * The consumer group; also the start of every transactional id. By default made of namespace and name, with a separator
 * that neither can contain. What earlier versions called it, `formerGroupId`, could be another pipeline's as well: it is
 * kept only where that group has committed offsets.
 */
export function resolveGroup({ metadata, spec }: Pipeline): { groupId: string; formerGroupId?: string } {
  if (spec.source.groupId !== undefined) return { groupId: spec.source.groupId }
  return { groupId: defaultGroupId(metadata), formerGroupId: `anomaly-${metadata.namespace}-${metadata.name}` }
}

/** The group of a pipeline that names none. */
export const defaultGroupId = ({ namespace, name }: { readonly namespace?: string; readonly name: string }): string =>
  `anomaly_${namespace}_${name}`

/** The workloads that the pipeline has. */
export function resolveRoles({ history, notifications = [] }: PipelineSpec): readonly Role[] {
  const records = history !== undefined || notifications.length > 0
  return records ? roles : roles.filter((role) => role !== 'recorder')
}

/** Whether a role reads what stands in the topic of events: of the API those events that a history leads back to. */
export function readsEvents(role: Role, { history }: PipelineSpec): boolean {
  return role === 'consumer' || (role === 'api' && history !== undefined)
}

export type Scaling =
  | { readonly type: 'fixed'; readonly replicas: number }
  | {
      readonly type: 'autoscaling'
      readonly minReplicas: number
      readonly maxReplicas: number
      readonly targetCpuPercent: number
      /** Events waiting for each replica; the consumer's only. */
      readonly targetLag?: number
      /** Whether the lag changes the consumers or only says what it would do, or somebody else's autoscaler counts the pods. */
      readonly mode?: 'Automatic' | 'Recommend' | 'External'
      /** Of the HPA, in the place of the operator's own. */
      readonly behavior?: Readonly<Record<string, unknown>> | undefined
    }

export function resolveScaling(spec: Pick<PipelineSpec, Role>, role: Role): Scaling {
  if (role === 'recorder')
    return { type: 'fixed', replicas: spec.recorder.replicas ?? unionDefaults.scaling.recorder.replicas }
  const defaults = unionDefaults.scaling[role]
  const { autoscaling, replicas = autoscaling ? undefined : defaults.replicas } = spec[role]
  if (replicas !== undefined) return { type: 'fixed', replicas }
  return { type: 'autoscaling', ...defaults.autoscaling, ...autoscaling }
}

type RedisSpec = PipelineSpec['state']['redis']
type ExternalRedis = NonNullable<RedisSpec['external']>
type ManagedRedis = NonNullable<RedisSpec['managed']>

export type ResolvedRedis =
  | {
      readonly type: 'managed'
      readonly replicas: number
      readonly memoryMebibytes: number
      readonly storage: {
        readonly type: 'Persistent' | 'Ephemeral'
        readonly size: string
        /** The cluster's default if absent. */
        readonly storageClassName?: string
        readonly whenDeleted: 'Delete' | 'Retain'
      }
      readonly backup?: ManagedRedis['backup']
      readonly restoreFrom?: ManagedRedis['restoreFrom']
      readonly resources?: ManagedRedis['resources']
      readonly template?: ManagedRedis['template']
    }
  | ({ readonly type: 'external'; readonly keyPrefix: string } & Pick<ExternalRedis, 'urlSecretRef' | 'tls'>)

export function resolveRedis({ metadata, spec }: Pipeline): ResolvedRedis {
  const { managed, external } = spec.state.redis
  if (external !== undefined)
    return { type: 'external', keyPrefix: `anomaly:${metadata.namespace}:${metadata.name}:`, ...external }
  const defaults = unionDefaults.managedRedis
  return { type: 'managed', ...defaults, ...managed, storage: { ...defaults.storage, ...managed?.storage } }
}
