import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client'
import type { PipelineStatus } from '../lib/pipeline/status.ts'
import type { KubeObject } from './runtime/kube-object.ts'
import type { QueueObserver } from './runtime/queue.ts'

/** What the operator measures. */
export interface OperatorMetrics {
  readonly observer: QueueObserver
  setLeader(leads: boolean): void
  /** Asked when metrics are read. */
  readQueueDepth(depth: () => number): void
  /** The pipelines as they are when metrics are read: with a pipeline go its metrics. */
  readPipelines(pipelines: () => Iterable<KubeObject>): void
}

/** Measures of each pipeline, by its status; absent where that does not know. */
const ofPipelines: readonly {
  readonly name: string
  readonly help: string
  readonly value: (status: PipelineStatus, now: number) => number | undefined
}[] = [
  {
    name: 'anomaly_pipeline_lag',
    help: 'Events in the topic that have no verdict yet, as last sampled',
    value: ({ source }) => source?.lag,
  },
  {
    name: 'anomaly_pipeline_record_lag',
    help: 'Published verdicts and changes of episodes that are not recorded yet; absent without a history',
    value: ({ history }) => history?.lag,
  },
  {
    name: 'anomaly_pipeline_alerts_per_million',
    help: 'Events per million of the last hour that were called anomalies',
    value: ({ alerts }) => alerts?.perMillion,
  },
  {
    name: 'anomaly_pipeline_alert_budget_per_million',
    help: 'Events per million that may be called anomalies; absent with a fixed threshold',
    value: ({ alerts }) => alerts?.budgetPerMillion,
  },
  {
    name: 'anomaly_pipeline_model_age_seconds',
    help: 'Time since the model in use was fitted',
    value: ({ model }, now) => (model?.fitTime === undefined ? undefined : (now - Date.parse(model.fitTime)) / 1000),
  },
]

const conditionStates = ['True', 'False', 'Unknown'] as const

export function createOperatorMetrics(registry: Registry): OperatorMetrics {
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const reconciles = new Counter({
    name: 'anomaly_operator_reconcile_total',
    help: 'Reconciles of a pipeline, by result: success or error',
    labelNames: ['result'],
    registers,
  })
  for (const result of ['success', 'error']) reconciles.inc({ result }, 0)
  const seconds = new Histogram({
    name: 'anomaly_operator_reconcile_seconds',
    help: 'Time that a reconcile took',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  })
  const waits = new Histogram({
    name: 'anomaly_operator_queue_seconds',
    help: 'Time that a pipeline waited for a worker',
    buckets: [0.001, 0.01, 0.1, 1, 10],
    registers,
  })
  let depthOf = (): number => 0
  new Gauge({
    name: 'anomaly_operator_queue_depth',
    help: 'Pipelines that are due and wait for a worker',
    registers,
    collect() {
      this.set(depthOf())
    },
  })
  let pipelinesOf = (): Iterable<KubeObject> => []
  const perPipeline = (visit: (labels: { namespace: string; pipeline: string }, status: PipelineStatus) => void) => {
    for (const { metadata, status } of pipelinesOf())
      visit({ namespace: metadata.namespace ?? '', pipeline: metadata.name }, (status ?? {}) as PipelineStatus)
  }
  new Gauge({
    name: 'anomaly_pipeline_condition',
    help: 'Conditions of a pipeline: 1 for the status that each has, 0 for the other two',
    labelNames: ['namespace', 'pipeline', 'type', 'status'],
    registers,
    collect() {
      this.reset()
      perPipeline((labels, { conditions = [] }) => {
        for (const { type, status } of conditions)
          for (const state of conditionStates) this.set({ ...labels, type, status: state }, state === status ? 1 : 0)
      })
    },
  })
  for (const { name, help, value } of ofPipelines)
    new Gauge({
      name,
      help,
      labelNames: ['namespace', 'pipeline'],
      registers,
      collect() {
        this.reset()
        perPipeline((labels, status) => {
          const measured = value(status, Date.now())
          if (measured !== undefined) this.set(labels, measured)
        })
      },
    })
  const leader = new Gauge({ name: 'anomaly_operator_leader', help: '1 while this process leads', registers })
  leader.set(0)
  return {
    observer: {
      started: (_, waitedMs) => waits.observe(waitedMs / 1000),
      finished(_, tookMs, error) {
        seconds.observe(tookMs / 1000)
        reconciles.inc({ result: error === undefined ? 'success' : 'error' })
      },
    },
    setLeader: (leads) => leader.set(leads ? 1 : 0),
    readQueueDepth(depth) {
      depthOf = depth
    },
    readPipelines(pipelines) {
      pipelinesOf = pipelines
    },
  }
}
