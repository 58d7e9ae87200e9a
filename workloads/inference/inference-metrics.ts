import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client'
import type { OnnxRunner } from '../scoring/onnx-runner.ts'

export const fitOutcomes = [
  'Swapped',
  'Refused',
  'Held',
  'Conflict',
  'FewerRows',
  'Missing',
  'Locked',
  'NotDue',
  'Failed',
] as const
export type FitOutcome = (typeof fitOutcomes)[number]
/** What could not be used: Missing: the pointer names it and it is not stored. Damaged: its bytes are not what was stored. */
export const refusals = ['Missing', 'Damaged'] as const
export type Refusal = (typeof refusals)[number]

/** What an inference replica measures. */
export interface InferenceMetrics {
  scored(rows: number, tookMs: number): void
  answered(method: string, code: string | undefined): void
  fitted(outcome: FitOutcome): void
  refused(what: 'model' | 'reservoir', reason: Refusal): void
  /** The one model that scores from now on; cheap to repeat. */
  setModel(version: string): void
  watchWaiting(rows: () => number): void
  /** Which models of somebody else's do not answer as they should. */
  watchSilent(models: readonly Pick<OnnxRunner, 'detector' | 'problem'>[]): void
}

export function createInferenceMetrics(registry: Registry): InferenceMetrics {
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const rows = new Counter({ name: 'anomaly_rows_scored_total', help: 'Rows that were scored and learnt', registers })
  const seconds = new Histogram({
    name: 'anomaly_scoring_seconds',
    help: 'From a call read to its rows scored',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  })
  const calls = new Counter({
    name: 'anomaly_rpc_total',
    help: 'Calls answered, by method and gRPC status',
    labelNames: ['method', 'code'],
    registers,
  })
  const fits = new Counter({
    name: 'anomaly_model_fits_total',
    help: 'Times that a model was due, by what came of it: Swapped where a new one took over, Refused where it was out of bounds, Held where another is pinned',
    labelNames: ['outcome'],
    registers,
  })
  for (const outcome of fitOutcomes) fits.inc({ outcome }, 0)
  const refused = new Counter({
    name: 'anomaly_artifacts_refused_total',
    help: 'Stored models and reservoirs that could not be used, by reason: Missing or Damaged',
    labelNames: ['what', 'reason'],
    registers,
  })
  const model = new Gauge({
    name: 'anomaly_model_info',
    help: '1 for the version of the model that decides',
    labelNames: ['version'],
    registers,
  })
  let current: string | undefined
  return {
    scored(count, tookMs) {
      rows.inc(count)
      seconds.observe(tookMs / 1000)
    },
    answered: (method, code = 'UNKNOWN') => calls.inc({ method, code }),
    fitted: (outcome) => fits.inc({ outcome }),
    refused: (what, reason) => refused.inc({ what, reason }),
    setModel(version) {
      if (version === current) return
      current = version
      model.reset()
      model.set({ version }, 1)
    },
    watchSilent(models) {
      if (models.length === 0) return
      new Gauge({
        name: 'anomaly_onnx_answers',
        help: '1 where the ONNX model of a detector answered the last rows in time and with numbers, else 0',
        labelNames: ['detector'],
        registers,
        collect() {
          for (const { detector, problem } of models)
            this.set({ detector: detector.name }, problem() === undefined ? 1 : 0)
        },
      })
    },
    watchWaiting(waiting) {
      new Gauge({
        name: 'anomaly_rows_waiting',
        help: 'Rows that wait to be scored',
        registers,
        collect() {
          this.set(waiting())
        },
      })
    },
  }
}
