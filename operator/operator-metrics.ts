import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client'
import type { QueueObserver } from './runtime/queue.ts'

/** What the operator measures. */
export interface OperatorMetrics {
  readonly observer: QueueObserver
  setLeader(leads: boolean): void
  /** Asked when metrics are read. */
  readQueueDepth(depth: () => number): void
}

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
  }
}
