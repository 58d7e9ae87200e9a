import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client'

/** What the data plane measures, under the names that dashboards and alerts use. */
export interface Metrics {
  readonly detections: Counter<'verdict'>
  readonly detectionSeconds: Histogram
  readonly rejections: Counter<'reason'>
  readonly stateLookups: Counter<'outcome'>
  readonly consumerLag: Gauge<'partition'>
  readonly alertRate: Gauge
  /** The one model that decides from now on; cheap to repeat. */
  setModel(version: string): void
}

export function createMetrics(registry: Registry): Metrics {
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
  let current: string | undefined
  return {
    detections,
    detectionSeconds: new Histogram({
      name: 'anomaly_detection_time_seconds',
      help: 'From the event read to its verdict acknowledged',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    rejections: new Counter({
      name: 'anomaly_events_rejected_total',
      help: 'Events that could not be read, by reason',
      labelNames: ['reason'],
      registers,
    }),
    stateLookups,
    consumerLag: new Gauge({
      name: 'anomaly_consumer_lag',
      help: 'Records of the partition that are not consumed yet',
      labelNames: ['partition'],
      registers,
    }),
    alertRate: new Gauge({
      name: 'anomaly_alert_rate',
      help: 'Share of the events since the start that were called anomalies, 0 to 1',
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
