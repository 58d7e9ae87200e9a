import { collectDefaultMetrics, Registry } from 'prom-client'
import { AppError } from '../../lib/errors.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { type Part, run } from '../../lib/lifecycle.ts'
import { createLogger, type Logger, type LoggerOptions } from '../../lib/log.ts'
import { fixedPipeline, type LivePipeline, livePipeline } from '../../lib/pipeline/live-pipeline.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { createProbes } from '../../lib/probes.ts'
import { startTelemetry } from '../../lib/telemetry.ts'
import type { HistorySettings } from '../history/open-history.ts'
import { historySettingsOf, type PostgresArguments } from '../settings/history-settings.ts'
import { type KafkaArguments, kafkaSettingsOf } from '../settings/kafka-settings.ts'
import { portOf } from '../settings/port-of.ts'
import type { Duty } from './duty.ts'
import { historyDuty } from './history-duty.ts'
import { notificationDuty } from './notification-duty.ts'

export interface RecorderArguments extends KafkaArguments, PostgresArguments {
  readonly file: string
  /** With the Secrets that notifications name. */
  readonly secretsFolder?: string | undefined
  readonly probesPort: number
  readonly otlpEndpoint?: string | undefined
  readonly logLevel: NonNullable<LoggerOptions['level']>
  readonly logFormat?: LoggerOptions['format']
}

export interface RecorderOptions {
  readonly pipeline: Pipeline
  /** Who is told now; what `pipeline` says if absent. */
  readonly live?: LivePipeline | undefined
  readonly kafka: KafkaSettings
  readonly history: HistorySettings | undefined
  readonly secretsFolder?: string | undefined
  readonly probesPort: number
  readonly log: Logger
  readonly stop?: AbortController | undefined
  /** Parts that must outlive the duties; started first. */
  readonly beneath?: readonly Part[] | undefined
  readonly onStarted?: ((ports: { readonly probes: number }) => void) | undefined
}

/** Does what the pipeline asks for with what it publishes, until a signal comes. @throws AppError */
export async function runRecorder(options: RecorderOptions): Promise<void> {
  const { pipeline, kafka, history, secretsFolder, log, beneath = [] } = options
  const { live = fixedPipeline(pipeline) } = options
  const stop = options.stop ?? new AbortController()
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const duties: readonly Duty[] = [
    ...(history === undefined ? [] : [historyDuty({ pipeline, kafka, history, registry, log })]),
    ...(pipeline.spec.results.episodesTopic === undefined
      ? []
      : [notificationDuty({ pipeline, live, kafka, secretsFolder, registry, log })]),
  ]
  if (history === undefined && (pipeline.spec.notifications ?? []).length === 0)
    throw new AppError('InvalidArgument', 'Nothing to do: the pipeline has neither spec.history nor spec.notifications')
  const checks = (of: 'live' | 'ready') => Object.fromEntries(duties.map((duty) => [duty.name, duty[of]]))
  const probes = createProbes({
    port: options.probesPort,
    registry,
    stopping: stop.signal,
    live: checks('live'),
    ready: checks('ready'),
    status: () => ({
      generation: live.generation,
      ...Object.fromEntries(duties.map(({ name, status }) => [name, status()])),
    }),
  })
  const started: Part = {
    name: 'start',
    start() {
      log.info({ probes: probes.port, duties: duties.map(({ name }) => name) }, 'started')
      options.onStarted?.({ probes: probes.port })
    },
  }
  await run([probes, ...beneath, ...duties.flatMap(({ parts }) => parts), started], { log, stop, lingerMs: 1000 })
}

/** @throws AppError */
export async function recorderCommand(args: RecorderArguments): Promise<void> {
  const pipeline = await loadPipeline(args.file)
  const log = await createLogger({ level: args.logLevel, format: args.logFormat })
  const live = livePipeline(args.file, pipeline, { log })
  await runRecorder({
    pipeline,
    live,
    kafka: kafkaSettingsOf(pipeline, args, log),
    history: historySettingsOf(pipeline, args),
    secretsFolder: args.secretsFolder,
    probesPort: portOf(args.probesPort, 'probes-port'),
    log,
    beneath: [await startTelemetry({ endpoint: args.otlpEndpoint, serviceName: 'anomaly-recorder' }), live],
  })
}
