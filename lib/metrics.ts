import { Counter, collectDefaultMetrics, Gauge, type Registry } from 'prom-client'
import { LastHour } from './last-hour.ts'
import { WeightedHistogram } from './weighted-histogram.ts'

/** What the data plane measures, under the names that dashboards and alerts use. */
export interface Metrics {
  /** Counts events that got their verdicts. */
  countVerdicts(count: { readonly anomaly: number; readonly normal: number }): void
  /** Counts an event that could not be read. */
  countRejection(reason: string): void
  /** Counts episodes that were opened, without those that became part of another. */
  countEpisodes(count: number): void
  /** Counts events whose times did not come after those before them of their keys. */
  countLate(count: number): void
  /** Counts a batch that took effect. */
  countBatch(): void
  /** Events, alerts, episodes, rejections and late events of the last hour. */
  readonly lately: LastHour<'events' | 'alerts' | 'episodes' | 'rejected' | 'late'>
  /** Observed once an event. */
  readonly detectionSeconds: WeightedHistogram
  readonly stateLookups: Counter<'outcome'>
  readonly consumerLag: Gauge<'partition'>
  /** The one model that decides from now on; cheap to repeat. */
  setModel(version: string): void
}

/** @param clock monotonic, in ms */
export function createMetrics(registry: Registry, clock: () => number = () => performance.now()): Metrics {
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const detections = new Counter({
    name: 'anomaly_detection_total',
    help: 'Events that got a verdict, by verdict: anomaly or normal',
    labelNames: ['verdict'],
    registers,
  })
  for (const verdict of ['anomaly', 'normal']) detections.inc({ verdict }, 0)
  const stateLookups = new Counter({
    name: 'anomaly_state_lookups_total',
    help: "Looks at a key's state, once a key and batch: hit where memory had it, miss where the store was asked",
    labelNames: ['outcome'],
    registers,
  })
  for (const outcome of ['hit', 'miss']) stateLookups.inc({ outcome }, 0)
  const model = new Gauge({
    name: 'anomaly_model_info',
    help: '1 for the version of the model that decides',
    labelNames: ['version'],
    registers,
  })
  const rejections = new Counter({
    name: 'anomaly_events_rejected_total',
    help: 'Events that could not be read, by reason',
    labelNames: ['reason'],
    registers,
  })
  const late = new Counter({
    name: 'anomaly_events_late_total',
    help: 'Events whose time is not after the latest of their key: it says nothing of the interval',
    registers,
  })
  const batches = new Counter({ name: 'anomaly_batches_total', help: 'Batches of events that took effect', registers })
  const lately = new LastHour(['events', 'alerts', 'episodes', 'rejected', 'late'], clock)
  new Gauge({
    name: 'anomaly_alert_rate',
    help: 'Share of the events of the last hour that were called anomalies, 0 to 1',
    registers,
    collect() {
      const { events, alerts } = lately.totals
      this.set(events === 0 ? 0 : alerts / events)
    },
  })
  let current: string | undefined
  return {
    countVerdicts({ anomaly, normal }) {
      detections.inc({ verdict: 'anomaly' }, anomaly)
      detections.inc({ verdict: 'normal' }, normal)
      lately.add('events', anomaly + normal)
      lately.add('alerts', anomaly)
    },
    countRejection(reason) {
      rejections.inc({ reason })
      lately.add('rejected', 1)
    },
    countEpisodes(count) {
      lately.add('episodes', count)
    },
    countLate(count) {
      late.inc(count)
      lately.add('late', count)
    },
    countBatch: () => batches.inc(),
    lately,
    detectionSeconds: new WeightedHistogram({
      name: 'anomaly_detection_time_seconds',
      help: 'From the event read to its verdict acknowledged, once an event',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10],
      registry,
    }),
    stateLookups,
    consumerLag: new Gauge({
      name: 'anomaly_consumer_lag',
      help: 'Records of the partition that are not consumed yet',
      labelNames: ['partition'],
      registers,
    }),
    setModel(version) {
      if (version === current) return
      current = version
      model.reset()
      model.set({ version }, 1)
    },
  }
}
