import { expect } from 'chai'
import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import { testParent } from '../desired/test-parent.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { pipelineStatus, type StatusInput } from './pipeline-status.ts'

const now = '2025-06-01T12:00:00Z'
const { pipeline } = testParent({ consumer: { replicas: 3 } })

function workload(component: string, replicas: number, status: object = {}): KubeObject {
  const counts = { replicas, readyReplicas: replicas, updatedReplicas: replicas }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: `payments-${component}`, generation: 2 },
    spec: { replicas },
    status: { observedGeneration: 2, ...counts, ...status },
  }
}
const running = {
  redis: workload('redis', 1),
  inference: workload('inference', 2),
  consumer: workload('consumer', 3),
  api: workload('api', 2),
}
function statusOf(changes: Partial<StatusInput> = {}, previous?: PipelineStatus): PipelineStatus {
  const metadata = { name: 'payments', namespace: 'shop', generation: 7 }
  return pipelineStatus({
    document: { apiVersion: 'anomaly.com/v1alpha1', kind: 'AnomalyPipeline', metadata, status: previous },
    pipeline,
    issues: [],
    problems: [],
    disabled: false,
    workloads: running,
    pods: {},
    autoscalers: [],
    source: { partitions: 12, lag: 40 },
    now,
    ...changes,
  })
}
const told = ({ conditions = [] }: PipelineStatus) =>
  Object.fromEntries(conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]))
const messageOf = ({ conditions = [] }: PipelineStatus, type: string) =>
  conditions.find((condition) => condition.type === type)?.message

describe('pipelineStatus', () => {
  it('says which generation all pods judge by, and keeps it while none tells', () => {
    const told = statusOf({ reports: { config: 6 } })
    expect(told.observedConfig).to.equal(6)
    expect(statusOf({ reports: {} }, told).observedConfig).to.equal(6)
    expect(statusOf()).to.not.have.property('observedConfig')
  })

  it('says that all is well, at a glance and in full', () => {
    const reports = { model: { version: 'v3', rows: 9000 }, alertsPerMillion: 940, state: {}, degradations: [] }
    const status = statusOf({ reports })
    expect(told(status)).to.deep.equal({
      Ready: 'True AllReady',
      Available: 'True Serving',
      Progressing: 'False Complete',
      SpecValid: 'True Valid',
      SourceReachable: 'True Reachable',
      ModelReady: 'True ModelLoaded',
      StateReachable: 'True Reachable',
      Degraded: 'False AsExpected',
    })
    const { conditions, ...others } = status
    expect(conditions?.[0]).to.deep.equal({
      type: 'Ready',
      status: 'True',
      observedGeneration: 7,
      lastTransitionTime: now,
      reason: 'AllReady',
      message: 'All components are ready',
    })
    expect(others).to.deep.equal({
      observedGeneration: 7,
      results: { topic: 'payments-verdicts', deadLetterTopic: 'payments-dead-letters' },
      components: {
        redis: { desired: 1, updated: 1, ready: 1, summary: '1/1' },
        inference: { desired: 2, updated: 2, ready: 2, summary: '2/2' },
        consumer: { desired: 3, updated: 3, ready: 3, summary: '3/3' },
        api: { desired: 2, updated: 2, ready: 2, summary: '2/2' },
      },
      source: { partitions: 12, lag: 40 },
      model: { version: 'v3', rows: 9000 },
      alerts: { perMillion: 940, budgetPerMillion: 1000, summary: '940/1000' },
    })
  })

  it('is not ready while a component is not, and says why its pod waits', () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      status: {
        containerStatuses: [
          {
            name: 'consumer',
            ready: false,
            state: { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } },
          },
        ],
      },
    }
    const workloads = { ...running, consumer: workload('consumer', 3, { readyReplicas: 2 }) }
    const status = statusOf({ workloads, pods: { consumer: [pod] } })
    expect(told(status)).to.include({
      Ready: 'False ConsumerNotReady',
      Available: 'True Serving',
      Progressing: 'True RollingOut',
      Reconciling: 'True RollingOut',
    })
    expect(messageOf(status, 'Ready')).to.equal('consumer: 2 of 3 ready: ImagePullBackOff: no such image')
    expect(status.components?.consumer).to.include({ reason: 'ImagePullBackOff', summary: '2/3' })
  })

  describe('of what does not heal by itself', () => {
    const waitsSince = (lastTransitionTime: string, metadata: object = {}) => {
      const conditions = [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', lastTransitionTime }]
      return {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'p', ...metadata },
        status: { phase: 'Pending', conditions },
      }
    }
    const redis = workload('redis', 1, { readyReplicas: 0 })
    const workloads = { ...running, redis }

    it('is stalled after ninety seconds, and not before', () => {
      const early = statusOf({ workloads, pods: { redis: [waitsSince('2025-06-01T11:58:31Z')] } })
      expect(told(early)).to.include({ Ready: 'False RedisNotReady', Progressing: 'True RollingOut' })
      expect(told(early)).to.not.have.property('Stalled')
      const late = statusOf({ workloads, pods: { redis: [waitsSince('2025-06-01T11:58:30Z')] } })
      expect(told(late)).to.include({ Ready: 'False RedisNotReady', Stalled: 'True RedisNotReady' })
    })

    it('names the volume that cannot be made', () => {
      const message = 'storageclass.storage.k8s.io "fast" not found'
      const refusal = { reason: 'ProvisioningFailed', message, since: '2025-06-01T11:58:00Z', needsPerson: true }
      const status = statusOf({ workloads, pods: { redis: [waitsSince('2025-06-01T11:58:00Z')] }, refusal })
      expect(messageOf(status, 'Stalled')).to.equal(`redis: 0 of 1 ready: ProvisioningFailed: ${message}`)
    })
  })

  describe('of workloads that are scaled automatically', () => {
    const scaled = testParent({ consumer: { autoscaling: { minReplicas: 2, maxReplicas: 8 } } }).pipeline
    const scaling = (status: object, replicas = 5) =>
      statusOf({ pipeline: scaled, workloads: { ...running, consumer: workload('consumer', replicas, status) } })

    it('stays ready while more are started or fewer are left, and says that in Progressing', () => {
      for (const status of [{ readyReplicas: 2 }, { replicas: 7, updatedReplicas: 7, readyReplicas: 7 }]) {
        const found = told(scaling(status))
        expect(found).to.include({ Ready: 'True AllReady', Progressing: 'True Scaling' })
        expect(found).to.not.have.property('Reconciling')
      }
    })

    it('is not ready with fewer than the document asks for, nor while pods of another template are left', () => {
      expect(told(scaling({ readyReplicas: 1 }))).to.include({ Ready: 'False ConsumerNotReady' })
      expect(told(scaling({ updatedReplicas: 3 }))).to.include({ Ready: 'False ConsumerNotReady' })
    })
  })

  it('says what the pods say of the store and of themselves, at once', () => {
    const message = 'consumer: redis:6379 is unreachable'
    const degradations = [{ reason: 'StateUnavailable', message } as const]
    const reports = { state: { problem: message }, degradations }
    const status = statusOf({ reports })
    expect(told(status)).to.include({
      Ready: 'True AllReady',
      StateReachable: 'False StateUnavailable',
      Degraded: 'True StateUnavailable',
    })
    expect(messageOf(status, 'Degraded')).to.equal(message)
    // After a restart of the operator it stands, until it has been looked at again.
    expect(told(statusOf({}, status))).to.include({ Degraded: 'True StateUnavailable' })
    expect(told(statusOf({ reports: {} }, status))).to.include({ Degraded: 'Unknown NotSeen' })
  })

  it('is available while the history is away, and says what waits', () => {
    const history = { postgres: { urlSecretRef: { name: 'history', key: 'url' } } }
    const recorded = testParent({ history }).pipeline
    const degradations = [{ reason: 'HistoryUnavailable', message: 'recorder: no connection' } as const]
    const waits = { degradations, recordLag: 12 }
    const workloads = {
      ...running,
      recorder: { ...running.api!, status: { ...running.api!.status!, readyReplicas: 0 } },
    }
    const status = statusOf({ pipeline: recorded, workloads, reports: waits })
    expect(told(status)).to.include({
      Ready: 'False RecorderNotReady',
      Available: 'True Serving',
      Degraded: 'True HistoryUnavailable',
    })
    expect(status.components?.recorder?.summary).to.match(/^0\//)
    expect(status.history).to.deep.equal({ lag: 12 })
    expect(statusOf({ pipeline: recorded, workloads, reports: {} }, status).history).to.deep.equal({ lag: 12 })
    expect(statusOf({ workloads: running, reports: {} }, status)).to.not.have.property('history')
  })

  it('says in the words of the document what the API server does not take of it', () => {
    const problem = {
      reason: 'ApplyRefused',
      message: 'spec.api.template.affinity: no',
      stalled: true,
      isOfDocument: true,
    }
    expect(told(statusOf({ problems: [problem] }))).to.include({
      Ready: 'False ApplyRefused',
      SpecValid: 'False Refused',
    })
    expect(told(statusOf({ warnings: ['metadata.annotations["anomaly.com/x"]: nobody reads it'] }))).to.include({
      Ready: 'True AllReady',
      SpecValid: 'True ValidWithWarnings',
    })
  })

  it('shows no rate of alerts where the last hour had too few events to tell', () => {
    const before = statusOf({ reports: { alertsPerMillion: 940 } })
    expect(statusOf({ reports: {} }, before).alerts).to.deep.include({ perMillion: 940 })
    expect(statusOf({ reports: { alertsPerMillion: null } }, before).alerts).to.deep.equal({ budgetPerMillion: 1000 })
  })

  for (const [what, change] of Object.entries({
    'a pod of the former template is left': { replicas: 4 },
    'not all pods run the present template': { updatedReplicas: 1 },
    'the controller has not seen the present template': { observedGeneration: 1 },
  }))
    it(`is not ready while ${what}`, () => {
      const status = statusOf({ workloads: { ...running, api: workload('api', 2, change) } })
      expect(told(status)).to.include({ Ready: 'False ApiNotReady', Progressing: 'True RollingOut' })
    })

  it('is not ready, nor available, before its workloads exist', () => {
    const { redis } = running
    expect(told(statusOf({ workloads: { redis } }))).to.include({
      Ready: 'False InferenceNotReady',
      Available: 'False NotServing',
    })
  })

  it('names a quota that keeps pods from being made, and a roll-out that takes too long', () => {
    const conditions = [
      { type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'exceeded quota: pods=2' },
      { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message: 'timed out' },
    ]
    const status = statusOf({
      workloads: { ...running, api: workload('api', 2, { readyReplicas: 0, conditions }) },
    })
    expect(messageOf(status, 'Ready')).to.equal('api: 0 of 2 ready: FailedCreate: exceeded quota: pods=2')
    expect(told(status)).to.include({ Stalled: 'True ApiNotReady', Progressing: 'False ApiNotReady' })
  })

  it('says what refuses the pod of a StatefulSet, or where to look for it', () => {
    const redis = workload('redis', 1, { replicas: 0, readyReplicas: 0, updatedReplicas: 0 })
    const workloads = { ...running, redis: { ...redis, kind: 'StatefulSet' } }
    const refusal = { reason: 'FailedCreate', message: 'exceeded quota: pods=2', needsPerson: true }
    expect(messageOf(statusOf({ workloads, refusal }), 'Ready')).to.equal(
      'redis: 0 of 1 ready: FailedCreate: exceeded quota: pods=2',
    )
    expect(statusOf({ workloads }).components?.redis).to.include({ reason: 'NoPods', summary: '0/1' })
    expect(messageOf(statusOf({ workloads }), 'Ready')).to.contain('kubectl describe statefulset payments-redis')
  })

  it('tells what is wrong with a document and keeps what it knew', () => {
    const before = statusOf()
    const status = statusOf({ pipeline: undefined, issues: ['spec.source: is missing'], workloads: running }, before)
    expect(told(status)).to.include({
      Ready: 'False InvalidSpec',
      SpecValid: 'False InvalidSpec',
      Stalled: 'True InvalidSpec',
      Available: 'True Serving',
    })
    expect(status.components).to.deep.equal(before.components)
  })

  it('keeps the time of a condition until its status changes', () => {
    const before = statusOf()
    const later = statusOf(
      { now: '2025-06-01T13:00:00Z', source: { problem: { reason: 'Unreachable', message: 'no' } } },
      before,
    )
    const times = Object.fromEntries(later.conditions?.map((one) => [one.type, one.lastTransitionTime]) ?? [])
    expect(times).to.include({ Available: now, Ready: '2025-06-01T13:00:00Z', SourceReachable: '2025-06-01T13:00:00Z' })
    expect(told(later)).to.include({ Ready: 'False SourceUnreachable' })
    expect(later.source).to.deep.equal({ partitions: 12, lag: 40 })
  })

  it('is equal when nothing changed but the time', () => {
    const before = statusOf()
    expect(statusOf({ now: '2030-01-01T00:00:00Z' }, before)).to.deep.equal(before)
  })

  it('says what an autoscaler complains about', () => {
    const { pipeline: scaled } = testParent({ api: { autoscaling: {} }, consumer: { replicas: 3 } })
    const hpa = (status: string, reason: string): KubeObject => ({
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'payments-api' },
      status: { conditions: [{ type: 'ScalingActive', status, reason, message: 'no metrics' }] },
    })
    const active = (autoscalers: KubeObject[]) => told(statusOf({ pipeline: scaled, autoscalers })).ScalingActive
    expect(active([])).to.equal('Unknown NotSeen')
    expect(active([hpa('False', 'FailedGetResourceMetric')])).to.equal('False FailedGetResourceMetric')
    expect(active([hpa('True', 'ValidMetricFound')])).to.equal('True ScalingActive')
  })

  it('does not hold it against a pipeline that its first model is learning', () => {
    const status = statusOf({ reports: { model: null } })
    expect(told(status)).to.include({ ModelReady: 'False Learning', Ready: 'True AllReady' })
  })

  it('keeps what pods said that do not answer at the moment', () => {
    const before = statusOf({ reports: { model: { version: 'v3' }, alertsPerMillion: 940 } })
    for (const reports of [undefined, {}, { alertsPerMillion: 940 }])
      expect(statusOf({ reports }, before)).to.deep.equal(before)
  })

  const probeFailing = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'False', message: 'not ready' }] },
  }
  const unready = { ...running, consumer: workload('consumer', 3, { readyReplicas: 0 }) }

  it('names brokers that cannot be reached, not the pods that wait for them', () => {
    const source = { problem: { reason: 'Unreachable', message: 'kafka:9092 does not answer' } }
    const waiting = statusOf({ workloads: unready, pods: { consumer: [probeFailing] }, source })
    expect(told(waiting)).to.include({ Ready: 'False SourceUnreachable', Available: 'False NotServing' })
    expect(messageOf(waiting, 'Ready')).to.equal('kafka:9092 does not answer')
    const state = { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } }
    const broken = { ...probeFailing, status: { containerStatuses: [{ name: 'consumer', ready: false, state }] } }
    const both = statusOf({ workloads: unready, pods: { consumer: [broken] }, source })
    expect(told(both)).to.include({ Ready: 'False ConsumerNotReady' })
  })

  it('lets consumers that are starting create the topic, and leaves it to people where they must not', () => {
    const source = { problem: { reason: 'TopicMissing', message: 'no topic' } }
    expect(told(statusOf({ workloads: unready, source }))).to.include({ Ready: 'False ConsumerNotReady' })
    const created = told(statusOf({ source }))
    expect(created).to.include({ Ready: 'False TopicMissing', Reconciling: 'True CreatingTopics' })
    expect(created).to.not.have.property('Stalled')
    const { pipeline: without } = testParent({
      source: { brokers: ['kafka:9092'], createTopics: { mode: 'Disabled' } },
      consumer: { replicas: 3 },
    })
    const left = told(statusOf({ pipeline: without, workloads: unready, pods: { consumer: [probeFailing] }, source }))
    expect(left).to.include({ Ready: 'False TopicMissing', Stalled: 'True TopicMissing' })
  })

  it('says where to look when a controller can make no pod', () => {
    const redis = { ...workload('redis', 1, { replicas: 0, readyReplicas: 0 }), kind: 'StatefulSet' }
    const { reason, message } = statusOf({ workloads: { ...running, redis } }).components?.redis ?? {}
    expect(reason).to.equal('NoPods')
    expect(message).to.contain('kubectl describe statefulset payments-redis')
  })

  it('names a pod that does not go, as on a node that is lost', () => {
    const metadata = { name: 'payments-redis-0', deletionTimestamp: '2025-06-01T11:00:00Z' }
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata, status: { phase: 'Running' } }
    const workloads = { ...running, redis: workload('redis', 1, { readyReplicas: 0 }) }
    const status = statusOf({ workloads, pods: { redis: [pod] } })
    expect(status.components?.redis).to.include({ reason: 'Terminating' })
    expect(messageOf(status, 'Ready')).to.contain('payments-redis-0').and.to.contain('2025-06-01T11:00:00Z')
  })

  it('names a roll-out that somebody holds', () => {
    const conditions = [{ type: 'Progressing', status: 'Unknown', reason: 'DeploymentPaused', message: 'paused' }]
    const status = statusOf({ workloads: { ...running, api: workload('api', 2, { updatedReplicas: 0, conditions }) } })
    expect(messageOf(status, 'Ready')).to.equal('api: 2 of 2 ready: DeploymentPaused: paused')
  })

  it('is never ready while a component is not, whatever else is so', () => {
    const counts = [undefined, 0, 1, 2, 3]
    const said = (replicas: number | undefined) => (replicas === undefined ? {} : { replicas })
    for (const replicas of counts)
      for (const readyReplicas of counts)
        for (const updatedReplicas of counts)
          for (const observedGeneration of [1, 2])
            for (const component of ['redis', 'inference', 'consumer', 'api'] as const) {
              const change = { readyReplicas, updatedReplicas, observedGeneration, ...said(replicas) }
              const status = statusOf({ workloads: { ...running, [component]: workload(component, 2, change) } })
              const isWhole =
                (replicas ?? 2) === 2 && readyReplicas === 2 && updatedReplicas === 2 && observedGeneration === 2
              expect(told(status).Ready === 'True AllReady', JSON.stringify([component, change])).to.equal(isWhole)
            }
  })
})
