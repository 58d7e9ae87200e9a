import { createHash } from 'node:crypto'
import { canonicalJson } from '../../lib/canonical-json.ts'
import type { Pipeline, Role } from '../../lib/pipeline/spec.ts'
import type { KubeObject, OwnerReference, Resource } from '../runtime/kube-object.ts'

/** In whose name the operator sets fields, and whom its children say they are managed by. */
export const manager = 'anomaly-operator'

export const components = ['consumer', 'inference', 'api', 'recorder', 'redis'] as const
/** A part of a pipeline with pods of its own. */
export type Component = Role | 'redis'
/** Whatever runs in pods. */
export type PodComponent = Component | 'redis-backup' | 'redis-copy'

/** Says how the replicas of a Deployment come about; see replicas.ts. */
export const replicasAnnotation = 'anomaly.com/replicas'
/** On a pipeline: a new value rolls all its pods. On pods: the value that they were started for. */
export const restartAnnotation = 'anomaly.com/restart-at'
/** On a pod template: hash of the document's part that the pods read, at their start only. */
export const configurationAnnotation = 'anomaly.com/configuration'
/** On a pod: the generation of the pipeline whose file was written last. */
export const generationAnnotation = 'anomaly.com/generation'
/** On a pod template: hash of the Secrets that the pods read, at their start only. */
export const secretsAnnotation = 'anomaly.com/secrets'
/** On the file of a pipeline: `spec.state.redis` by which the pods that read it run. */
export const redisAnnotation = 'anomaly.com/redis'
/** On a pipeline, as `Disabled`: the operator changes nothing of it. */
export const reconcileAnnotation = 'anomaly.com/reconcile'

/** What every child of a pipeline is made from. */
export interface Parent {
  readonly pipeline: Pipeline
  readonly owner: OwnerReference
}

export const ports = { api: 8080, grpc: 50_051, metrics: 9090, redis: 6379 } as const

/** `payments-consumer`; without a suffix the pipeline's own name. */
export const childName = ({ pipeline }: Parent, suffix: string): string =>
  suffix === '' ? pipeline.metadata.name : `${pipeline.metadata.name}-${suffix}`

/** What finds the pods of a component. A Deployment can never change it. */
export const selectorLabels = ({ pipeline }: Parent, component?: PodComponent): Readonly<Record<string, string>> => ({
  'app.kubernetes.io/name': 'anomaly',
  'app.kubernetes.io/instance': pipeline.metadata.name,
  ...(component === undefined ? {} : { 'app.kubernetes.io/component': component }),
})

/** The labels of a child; none comes from the pipeline's own, which may say what a tool such as Argo CD owns. */
export const childLabels = (parent: Parent, component?: PodComponent): Readonly<Record<string, string>> => ({
  ...selectorLabels(parent, component),
  'app.kubernetes.io/part-of': 'anomaly',
  'app.kubernetes.io/managed-by': manager,
})

/** What finds everything that this operator made, pods included. */
export const managedSelector = `app.kubernetes.io/managed-by=${manager}`

export interface ChildOptions {
  readonly component?: PodComponent | undefined
  /** Beside those that every child has. */
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly annotations?: Readonly<Record<string, string>> | undefined
}

/** A manifest of a child: its name, labels and owner, and the body given. */
export function child(
  parent: Parent,
  { apiVersion, kind }: Resource,
  suffix: string,
  body: Readonly<Record<string, unknown>>,
  { component, labels, annotations }: ChildOptions = {},
): KubeObject {
  const metadata = {
    name: childName(parent, suffix),
    namespace: parent.pipeline.metadata.namespace,
    labels: { ...labels, ...childLabels(parent, component) },
    ...(annotations === undefined ? {} : { annotations }),
    ownerReferences: [parent.owner],
  }
  return { apiVersion, kind, metadata, ...body }
}

/** 16 hexadecimal digits that are the same for equal values. */
export const hashOf = (value: unknown): string =>
  createHash('sha256').update(canonicalJson(value)).digest('hex').slice(0, 16)
