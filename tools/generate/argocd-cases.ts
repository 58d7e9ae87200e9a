import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import type { Problem } from '../../operator/problem.ts'
import type { KubeObject } from '../../operator/runtime/kube-object.ts'
import { pipelineStatus, type StatusInput } from '../../operator/status/pipeline-status.ts'

/**
 * AnomalyPipelines in every state that Argo CD tells apart, with the status that the operator gives them: what health.lua and
 * the actions are tested with.
 */
export function argocdCases(): Readonly<Record<string, KubeObject>> {
  const missing = 'Secret payments-redis is missing'
  return {
    healthy: pipeline({}),
    new: { ...pipeline({}), status: undefined },
    'change-not-seen': withGeneration(pipeline({}), 8),
    'rolling-out': pipeline({
      workloads: { ...whole, consumer: workload('consumer', 2, { readyReplicas: 1, updatedReplicas: 1 }) },
    }),
    'image-missing': pipeline({
      workloads: { ...whole, consumer: absent('consumer') },
      pods: { consumer: [waitingPod] },
    }),
    'roll-out-stuck': pipeline({
      workloads: { ...whole, consumer: absent('consumer', [deadline]) },
      pods: { consumer: [waitingPod] },
    }),
    'invalid-spec': pipeline(
      { pipeline: undefined, issues: ['spec.source.groupId: is too long'] },
      {},
      healthyStatus(),
    ),
    'secret-missing': failing({ reason: 'SecretMissing', message: missing, stalled: true }),
    'apply-refused': failing({ reason: 'ApplyRefused', message: 'Deployment payments-api: quota', stalled: true }),
    'crd-outdated': failing({ reason: 'CrdOutdated', message: 'The CRD lacks spec.network', stalled: true }),
    'apply-failed': failing({ reason: 'ApplyFailed', message: 'Deployment payments-api: etcd', stalled: false }),
    'reconcile-failed': failing({ reason: 'ReconcileFailed', message: 'etcd has no leader', stalled: false }),
    'source-unreachable': pipeline({ source: { problem: { reason: 'Unreachable', message: 'kafka:9092: refused' } } }),
    pausing: pipeline({ workloads: { ...stopped, redis: stopping('redis') } }, { desiredState: 'Paused' }),
    paused: pipeline({ workloads: stopped }, { desiredState: 'Paused' }),
    disabled: annotated(pipeline({ disabled: true }), { 'anomaly.com/reconcile': 'Disabled' }),
  }
}

/** What each action makes of a pipeline that it is offered for. The present time is that of restart. */
export function argocdActionResults(): Readonly<Record<string, KubeObject>> {
  const { healthy, paused } = argocdCases()
  return {
    pause: desiring(healthy!, 'Paused'),
    resume: desiring(paused!, 'Running'),
    restart: annotated(healthy!, { 'anomaly.com/restart-at': '0001-01-01T00:00:00Z' }),
  }
}

const now = '2025-06-01T12:00:00Z'

function pipeline(input: Partial<StatusInput>, spec: object = {}, previous?: PipelineStatus): KubeObject {
  const { apiVersion, kind } = { apiVersion: 'anomaly.com/v1alpha1', kind: 'AnomalyPipeline' }
  const metadata = { name: 'payments', namespace: 'payments', generation: 7 }
  const document = { apiVersion, kind, metadata, spec: { source: { brokers: ['kafka:9092'] }, ...spec } }
  const status = pipelineStatus({
    document: { ...document, status: previous },
    pipeline: parsePipeline(document),
    issues: [],
    problems: [],
    disabled: false,
    workloads: whole,
    pods: {},
    autoscalers: [],
    // As large as any number in a status: Lua has none but floating-point ones.
    source: { partitions: 12, lag: 2 ** 40 + 1 },
    now,
    ...input,
  })
  return { ...document, status }
}

const failing = (problem: Problem): KubeObject => pipeline({ problems: [problem] })
const healthyStatus = (): PipelineStatus => pipeline({}).status as PipelineStatus

const withGeneration = (object: KubeObject, generation: number): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, generation },
})
const desiring = (object: KubeObject, desiredState: string): KubeObject => ({
  ...object,
  spec: { ...(object.spec as object), desiredState },
})
const annotated = (object: KubeObject, annotations: Readonly<Record<string, string>>): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, annotations },
})

function workload(component: string, replicas: number, status: object = {}): KubeObject {
  const counts = { replicas, readyReplicas: replicas, updatedReplicas: replicas }
  return {
    apiVersion: 'apps/v1',
    kind: component === 'redis' ? 'StatefulSet' : 'Deployment',
    metadata: { name: `payments-${component}`, generation: 1 },
    spec: { replicas },
    status: { observedGeneration: 1, ...counts, ...status },
  }
}

/** One of whose pods none is ready. */
const absent = (component: string, conditions: readonly object[] = []): KubeObject =>
  workload(component, 1, { readyReplicas: 0, conditions })
const deadline = { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message: 'No progress' }

const stopping = (component: string): KubeObject =>
  workload(component, 0, { replicas: 1, readyReplicas: 1, updatedReplicas: 1 })

const whole = {
  redis: workload('redis', 1),
  inference: workload('inference', 2),
  consumer: workload('consumer', 2),
  api: workload('api', 2),
}
const stopped = {
  redis: workload('redis', 0),
  inference: workload('inference', 0),
  consumer: workload('consumer', 0),
  api: workload('api', 0),
}
const waitingPod: KubeObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'payments-consumer-1' },
  status: {
    containerStatuses: [
      { name: 'consumer', state: { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } } },
    ],
  },
}
