import { hostname } from 'node:os'
import { Registry } from 'prom-client'
import { type Part, run } from '../../lib/lifecycle.ts'
import { createLogger, type Logger, type LoggerOptions } from '../../lib/log.ts'
import { type LivePipeline, livePipeline } from '../../lib/pipeline/live-pipeline.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { onnxFolder, resolveDetectors, resolveModelNames } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { createProbes } from '../../lib/probes.ts'
import { startTelemetry } from '../../lib/telemetry.ts'
import { nominalThreshold } from '../detection/decision.ts'
import { onnxPart, openOnnxModels } from '../scoring/onnx-models.ts'
import { shownRecord } from '../scoring/shown-record.ts'
import { createWorkerFitter } from '../scoring/worker-fitter.ts'
import { portOf } from '../settings/port-of.ts'
import { type RedisArguments, redisSettingsOf } from '../settings/redis-settings.ts'
import { createRedisState } from '../state/redis.ts'
import type { FeatureStore, ModelStore } from '../state/state.ts'
import { DetectService } from './detect-service.ts'
import { createInferenceMetrics } from './inference-metrics.ts'
import { createModelLife } from './model-life.ts'
import { Replica } from './replica.ts'
import { ScoringService } from './scoring-service.ts'
import { createInferenceServer, type InferenceServerOptions } from './server.ts'

export interface InferenceArguments extends RedisArguments {
  readonly file: string
  readonly port: number
  /** Address to listen on; every one if absent. */
  readonly host?: string | undefined
  readonly probesPort: number
  /** Name of this replica; host and port if absent. */
  readonly replica?: string | undefined
  readonly onnxFolder?: string | undefined
  readonly otlpEndpoint?: string | undefined
  /** Seconds between SIGTERM and the end of the server, in which callers go elsewhere. */
  readonly drainSeconds: number
  readonly logLevel: NonNullable<LoggerOptions['level']>
  readonly logFormat?: LoggerOptions['format']
}

type Limits = Pick<InferenceServerOptions, 'host' | 'maxRows' | 'maxMessageBytes' | 'maxConnectionAgeMs'>

export interface InferenceOptions extends Limits {
  readonly pipeline: Pipeline
  readonly live?: LivePipeline | undefined
  readonly models: ModelStore
  readonly features: Pick<FeatureStore, 'names'>
  readonly replica: string
  readonly port: number
  readonly probesPort: number
  readonly log: Logger
  readonly drainMs?: number | undefined
  readonly stop?: AbortController | undefined
  /** Parts that must outlive the server, such as the store's connection; started first. */
  readonly beneath?: readonly Part[] | undefined
  /** Where models of ConfigMaps and volumes are. */
  readonly onnxFolder?: string | undefined
  readonly pollMs?: number | undefined
  readonly onStarted?: ((ports: { readonly grpc: number; readonly probes: number }) => void) | undefined
}

/** RFC 3339. */
const timeOf = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString()

/** Scores rows for one pipeline until a signal comes. */
export async function runInference(options: InferenceOptions): Promise<void> {
  const { pipeline, models, features, log, port, host, probesPort, beneath = [], pollMs } = options
  const { maxRows, maxMessageBytes, maxConnectionAgeMs } = options
  const stop = options.stop ?? new AbortController()
  const clock = () => performance.now()
  const registry = new Registry()
  const metrics = createInferenceMetrics(registry)
  const detectors = resolveDetectors(pipeline.spec.detection)
  const modelNames = resolveModelNames(pipeline.spec.detection)
  const seed = `${pipeline.metadata.namespace}/${pipeline.metadata.name}`
  const policy = () => options.live?.detection ?? pipeline.spec.detection
  const threshold = () => nominalThreshold(policy())
  const replica = new Replica({ modelNames, seed: `${seed} ${options.replica}`, clock, threshold })
  const fitter = createWorkerFitter()
  const onnx = await openOnnxModels(detectors, {
    folder: options.onnxFolder ?? onnxFolder,
    onProblem: (reason) => log.warn({ problem: reason }, 'a model of your own does not answer as it should'),
  })
  metrics.watchSilent(onnx)
  const life = createModelLife({
    replica,
    policy,
    onnx,
    name: options.replica,
    detectors,
    store: models,
    features,
    fitModel: fitter.fit,
    seed,
    metrics,
    log,
    wall: Date.now,
    pollMs,
  })
  const server = createInferenceServer({
    port,
    host,
    maxRows,
    maxMessageBytes,
    maxConnectionAgeMs,
    scoring: new ScoringService(replica),
    detect: new DetectService({ pipeline, live: options.live, replica, clock }),
    ready: life.ready,
    stopping: stop.signal,
    metrics,
  })
  const probes = createProbes({
    port: probesPort,
    registry,
    stopping: stop.signal,
    ready: { models: life.ready },
    status: () => ({
      generation: options.live?.generation,
      modelVersion: replica.modelVersion,
      modelRows: replica.models?.rowsSeen ?? 0,
      modelFitTime: timeOf(life.fittedAt()),
      models: life.records().map(shownRecord),
      modelProblems: { ...life.problems(), onnx: onnx.flatMap((one) => one.problem() ?? [])[0] },
      challenger: replica.served.figures(),
      rowsSeen: replica.reservoir.rowsSeen,
      columns: replica.columns.length,
      store: life.storeProblem() ?? 'ok',
    }),
  })
  const started: Part = {
    name: 'start',
    start() {
      log.info({ grpc: server.port, probes: probes.port, modelVersion: replica.modelVersion }, 'ready')
      options.onStarted?.({ grpc: server.port, probes: probes.port })
    },
  }
  await run([probes, ...beneath, { name: 'fits', stop: fitter.close }, onnxPart(onnx), life, server, started], {
    log,
    stop,
    drainMs: options.drainMs,
  })
}

/** @throws AppError */
export async function inferenceCommand(args: InferenceArguments): Promise<void> {
  const pipeline = await loadPipeline(args.file)
  const log = await createLogger({ level: args.logLevel, format: args.logFormat })
  const state = createRedisState({ ...redisSettingsOf(pipeline, args), log })
  const live = livePipeline(args.file, pipeline, { log })
  await runInference({
    pipeline,
    live,
    models: state.models,
    features: state.features,
    replica: args.replica ?? `${hostname()}:${args.port}`,
    port: portOf(args.port, 'port'),
    host: args.host,
    probesPort: portOf(args.probesPort, 'probes-port'),
    log,
    drainMs: args.drainSeconds * 1000,
    onnxFolder: args.onnxFolder,
    beneath: [await startTelemetry({ endpoint: args.otlpEndpoint, serviceName: 'anomaly-inference' }), state, live],
  })
}
