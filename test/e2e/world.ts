import { setTimeout as delay } from 'node:timers/promises'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import type { Cluster } from '../../tools/servers/cluster/cluster.ts'
import type { Postgres } from '../../tools/servers/postgres.ts'
import { eventually } from '../harness/eventually.ts'
import type { Kubectl, KubeResource } from './kubectl.ts'
import type { Traffic } from './traffic.ts'

export const system = 'anomaly-system'
export const demo = 'demo'
/** Of pipelines whose troubles are those of the namespace. */
export const troubled = 'troubled'

/** What all steps share. */
export interface World {
  readonly cluster: Cluster
  readonly kubectl: Kubectl
  /** Of the pipelines that are asked for; `demo` if absent. */
  readonly namespace?: string | undefined
  helm(args: readonly string[]): Promise<string>
  /** As pods and the host reach it. */
  readonly brokers: readonly string[]
  readonly kafka: KafkaSettings
  /** As pods and the host reach it. */
  readonly postgres: Postgres
  /** Tags of one and the same image: what was installed first, and what follows it. */
  readonly tags: { readonly first: string; readonly second: string }
  /** Into the pipeline `payments`. */
  traffic: Traffic
}

/** Where pipelines are asked for. */
type Place = Pick<World, 'kubectl' | 'namespace'>

/** Small enough for a node of two cores that holds everything. */
const small = { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '512Mi' } }

export function pipelineDocument(
  name: string,
  brokers: readonly string[],
  spec: Readonly<Record<string, unknown>> = {},
) {
  const given = spec as Record<string, Record<string, unknown> | undefined>
  return {
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name, namespace: demo },
    spec: {
      ...given,
      source: { brokers, topic: name, startFrom: 'Earliest', createTopics: { partitions: 4 }, ...given.source },
      results: { topic: `${name}-verdicts`, deadLetterTopic: `${name}-dead-letters`, ...given.results },
      consumer: { replicas: 1, resources: small, ...given.consumer },
      inference: { replicas: 1, resources: small, ...given.inference },
      api: { replicas: 1, resources: small, ...given.api },
    },
  }
}

export const topicsOf = (name: string) => ({
  source: name,
  results: `${name}-verdicts`,
  deadLetters: `${name}-dead-letters`,
  groupId: `anomaly_${demo}_${name}`,
})

/** Seconds until the assertion holds; looks twice a second. */
export async function secondsUntil(assertion: () => Promise<void>, timeoutMs = 180_000): Promise<number> {
  const began = performance.now()
  await eventually(async () => {
    try {
      await assertion()
    } catch (error) {
      await delay(300)
      throw error
    }
  }, timeoutMs)
  return (performance.now() - began) / 1000
}

export interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
  readonly observedGeneration: number
  readonly lastTransitionTime: string
}

export function conditionOf(pipeline: KubeResource, type: string): Condition | undefined {
  return (pipeline.status?.conditions as Condition[] | undefined)?.find((condition) => condition.type === type)
}

export function shown(condition: Condition | undefined): string {
  return condition === undefined ? 'absent' : `${condition.status} ${condition.reason}: ${condition.message}`
}

/** Until the pipeline's condition is as wanted for its present document. */
export async function untilCondition(
  { kubectl, namespace = demo }: Place,
  name: string,
  wanted: { readonly type: string; readonly status: string; readonly reason?: string; readonly message?: RegExp },
  timeoutMs = 240_000,
): Promise<number> {
  return await secondsUntil(async () => {
    const pipeline = await kubectl.get('apl', name, namespace)
    const condition = conditionOf(pipeline, wanted.type)
    const isIt =
      condition?.status === wanted.status &&
      condition.observedGeneration === pipeline.metadata.generation &&
      (wanted.reason === undefined || condition.reason === wanted.reason) &&
      (wanted.message === undefined || wanted.message.test(condition.message))
    if (!isIt) throw new Error(`${wanted.type} of ${name} is ${shown(condition)}`)
  }, timeoutMs)
}

export const untilReady = (place: Place, name: string, timeoutMs?: number): Promise<number> =>
  untilCondition(place, name, { type: 'Ready', status: 'True', reason: 'AllReady' }, timeoutMs)

/** Selects what a pipeline has, of one component or of all. */
export function selectorOf(name: string, component?: string): string {
  const of = component === undefined ? '' : `,app.kubernetes.io/component=${component}`
  return `app.kubernetes.io/managed-by=anomaly-operator,app.kubernetes.io/instance=${name}${of}`
}

/** Pods of a pipeline, of one component or of all, that are not about to end. */
export async function podsOf({ kubectl, namespace = demo }: Place, name: string, component?: string) {
  const pods = await kubectl.list('pods', namespace, selectorOf(name, component))
  return pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
}

export const uidsOf = (pods: readonly KubeResource[]): string[] => pods.map(({ metadata }) => metadata.uid).sort()

export const isReady = (pod: KubeResource): boolean =>
  (pod.status?.conditions as Condition[] | undefined)?.some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  ) === true

export function must(held: boolean, what: string): asserts held {
  if (!held) throw new Error(what)
}
