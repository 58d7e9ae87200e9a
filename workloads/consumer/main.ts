import { Counter, Gauge, Registry } from 'prom-client'
import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { type Part, run } from '../../lib/lifecycle.ts'
import { createLogger, type LoggerOptions } from '../../lib/log.ts'
import { createMetrics, type Metrics } from '../../lib/metrics.ts'
import { livePipeline } from '../../lib/pipeline/live-pipeline.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { resolveGroup, resolveModelNames } from '../../lib/pipeline/resolve-pipeline.ts'
import { createProbes, turns } from '../../lib/probes.ts'
import { startTelemetry } from '../../lib/telemetry.ts'
import { ChallengeCounts } from '../judging/challenge-counts.ts'
import { createFlowMeter, type Flow } from '../judging/flow-meter.ts'
import { KeptState } from '../judging/kept-state.ts'
import { NewFeatures } from '../judging/new-features.ts'
import { createSharedSchema, type SharedSchema } from '../judging/shared-schema.ts'
import { createGrpcScorer, type GrpcScorer } from '../scoring/grpc.ts'
import { persistentScorer } from '../scoring/persistent-scorer.ts'
import { type KafkaArguments, kafkaSettingsOf } from '../settings/kafka-settings.ts'
import { portOf } from '../settings/port-of.ts'
import { type RedisArguments, redisSettingsOf } from '../settings/redis-settings.ts'
import { type SchemaRegistryArguments, schemaRegistryOf } from '../settings/schema-registry-settings.ts'
import { keyOfFile } from '../settings/text-file.ts'
import { createRedisState } from '../state/redis.ts'
import type { StateStore } from '../state/state.ts'
import { KafkaStream } from '../streams/kafka.ts'
import { standIns } from '../streams/stand-ins.ts'
import type { StreamHandler } from '../streams/stream.ts'
import { type ConsumerProcessorOptions, createConsumerProcessor } from './consumer-processor.ts'
import { feedbackMover } from './feedback-mover.ts'
import { kafkaPast } from './kafka-past.ts'
import { MisplacedKeys } from './misplaced-keys.ts'
import { missingTopics } from './missing-topics.ts'
import { StreamIncidents } from './stream-incidents.ts'
import { tracedHandler } from './traced-handler.ts'

export interface ConsumerArguments extends KafkaArguments, RedisArguments, SchemaRegistryArguments {
  readonly file: string
  readonly inference: string
  readonly probesPort: number
  readonly signingKeyFile?: string | undefined
  /** Memory for the state of keys, in MiB; half of what the process may use if absent. */
  readonly stateMebibytes?: number | undefined
  readonly otlpEndpoint?: string | undefined
  readonly logLevel: NonNullable<LoggerOptions['level']>
  readonly logFormat?: LoggerOptions['format']
}

export interface ConsumerOptions extends ConsumerProcessorOptions {
  readonly kafka: KafkaSettings
  readonly store: StateStore
  readonly scorer: GrpcScorer
  readonly probesPort: number
  readonly stateBytes: number
  readonly registry?: Registry | undefined
  /** A stored state could not be read: it is of other detectors or damaged. */
  readonly onForeign?: ((what: 'profile' | 'partition') => void) | undefined
  /** Parts that must outlive the loop; started first. */
  readonly beneath?: readonly Part[] | undefined
  readonly stop?: AbortController | undefined
  /** Without a turn of the loop for so long, in ms, a restart may help. */
  readonly stuckMs?: number | undefined
  readonly onStarted?: ((ports: { readonly probes: number }) => void) | undefined
}

/** A store that is only slow is waited for: what is learnt without knowing the stored state is lost again. */
const readMs = 500
/** Last features of a key that sends many events are half of what there is to write; they only stand in for absent ones. */
const featuresEveryMs = 5000

/** Judges the events of the partitions that the group assigns to this process, until a signal comes. */
export async function runConsumer(options: ConsumerOptions): Promise<void> {
  const { pipeline, kafka, store, log, stuckMs, beneath = [] } = options
  const { source, results, detection, state } = pipeline.spec
  const needsModel = detection.onModelUnavailable === 'Wait'
  const scorer = needsModel ? persistentScorer(options.scorer) : options.scorer
  const stop = options.stop ?? new AbortController()
  const { registry = new Registry() } = options
  const clock = () => performance.now()
  const metrics = createMetrics(registry, clock)
  const incidents = new StreamIncidents(registry)
  const misplaced = new MisplacedKeys(registry, log)
  const challenge = new ChallengeCounts(
    registry,
    () => (options.live?.detection ?? detection).model?.challenger?.version,
  )
  const newFeatures = new NewFeatures({ registry, log, wall: Date.now })
  const names = createSharedSchema({ store: store.features, ttlMs: 1000 * state.profileTtlSeconds, log, newFeatures })
  const kept = keptStateOf(options, { names, registry, metrics })
  const stream = new KafkaStream(kafka, {
    topic: source.topic,
    ...resolveGroup(pipeline),
    startFrom: source.startFrom,
    onOffsetLost: (_, { from, to }) => incidents.offsetsLost(Math.max(0, to - from)),
    onTopicRemade: () => incidents.topicRemade(),
    ...standIns(results.deadLetterTopic),
    onSetAside: () => {
      incidents.setAside()
      metrics.countRejection('Unprocessable')
    },
  })
  const meter = createFlowMeter(clock)
  const processor = createConsumerProcessor(options, {
    ...{ scorer, names, kept, stream, metrics, meter, misplaced, challenge, clock },
    past:
      results.episodesTopic === undefined
        ? undefined
        : kafkaPast(kafka, { source: source.topic, results: results.topic }),
    results: store.results,
    said: store.said,
  })
  const probes = createProbes({
    port: options.probesPort,
    registry,
    stopping: stop.signal,
    live: { 'poll-loop': turns(() => stream.polledAt(), stuckMs) },
    ready: {
      kafka: () => stream.problemOf('kafka'),
      state: () => stream.problemOf('state'),
      inference: () => stream.problemOf('inference') ?? (needsModel ? scorer.problem() : undefined),
      record: () => stream.problemOf('record'),
    },
    status: () => ({
      generation: options.live?.generation,
      ...metrics.lately.totals,
      openEpisodes: kept.openEpisodes,
      keys: kept.keys,
      modelVersion: scorer.modelVersion,
      challenge: challenge.counts,
      lag: Object.fromEntries(stream.lag()),
      flow: told(meter.flow),
      conditions: { ...incidents.counts, keysMisplaced: misplaced.wereSeen },
      news: newFeatures.lately,
      // Long names, and more than anybody reads, would only make it long.
      features: names.schema.names.slice(0, 500).map((name) => name.slice(0, 128)),
      kafka: stream.problemOf('kafka') ?? 'ok',
      record: stream.problemOf('record') ?? 'ok',
      redis: store.problem() ?? 'ok',
      inference: scorer.problem() ?? 'ok',
    }),
  })
  const started: Part = {
    name: 'start',
    start() {
      log.info({ probes: probes.port, ...resolveGroup(pipeline), topic: source.topic }, 'started')
      options.onStarted?.({ probes: probes.port })
    },
  }
  const topics = missingTopics(pipeline, kafka, log)
  const loop = consumerLoop('consumer', stream, tracedHandler(processor), stop)
  const mover = feedbackLoop(options, stop)
  await run([probes, ...beneath, scorer, topics, names, lagMeter(stream, metrics), loop, ...mover, started], {
    log,
    stop,
    lingerMs: 1000,
  })
}

interface KeptStateParts {
  readonly names: SharedSchema
  readonly registry: Registry
  readonly metrics: Metrics
}

function keptStateOf(options: ConsumerOptions, { names, registry, metrics }: KeptStateParts): KeptState {
  const { pipeline, store, log, stateBytes, onForeign } = options
  const { schema } = names
  const kept = new KeptState({
    pipeline,
    store,
    schema,
    log,
    stateBytes,
    wall: Date.now,
    // a key that goes on sending events must not lose its features meanwhile
    featuresEveryMs: Math.min(featuresEveryMs, 500 * pipeline.spec.state.featureTtlSeconds),
    onFenced: (partition) =>
      log.warn({ partition }, 'the state of the partition has a newer owner: nothing more is written'),
    onEmptied: () => {
      if (schema.size > 0) names.extend([]).catch(() => {})
    },
    onForeign,
    onLookups: (outcome, count) => metrics.stateLookups.inc({ outcome }, count),
  })
  new Gauge({
    name: 'anomaly_state_pending_keys',
    help: 'Keys whose state is not written yet',
    registers: [registry],
    collect() {
      this.set(kept.pending)
    },
  })
  return kept
}

function lagMeter(stream: KafkaStream, metrics: Metrics): Part {
  return {
    name: 'lag',
    start() {
      const timer = setInterval(() => {
        for (const [partition, waiting] of stream.lag())
          metrics.consumerLag.set({ partition: String(partition) }, waiting)
      }, 1000)
      timer.unref()
    },
  }
}

/** Reads the topic of feedback where the pipeline has one, as a group of its own. */
function feedbackLoop({ pipeline, kafka, store }: ConsumerOptions, stop: AbortController): readonly Part[] {
  const { detection, results } = pipeline.spec
  const topic = detection.feedback?.topic
  if (topic === undefined) return []
  const stream = new KafkaStream(kafka, {
    topic,
    groupId: `${resolveGroup(pipeline).groupId}_feedback`,
    startFrom: 'Earliest',
    onOffsetLost: () => {},
    ...standIns(results.deadLetterTopic),
    onSetAside: () => {},
  })
  const admin = openAdmin(kafka)
  const handler = feedbackMover({ pipeline, results: store.results, admin })
  const closing: Part = { name: 'feedback admin', stop: () => admin.close() }
  return [closing, consumerLoop('feedback', stream, handler, stop)]
}

function consumerLoop(name: string, stream: KafkaStream, handler: StreamHandler, stop: AbortController): Part {
  let consuming: Promise<void> = Promise.resolve()
  return {
    name,
    start() {
      consuming = stream.consume(handler, { signal: stop.signal })
      consuming.catch((error: unknown) => stop.abort(error))
    },
    stop: () => consuming,
  }
}

/** Without what stands in events: whoever reaches the port of the probes may read it. */
function told({ rejected, ...flow }: Flow): Flow {
  return { ...flow, rejected: rejected.map(({ reason, count }) => ({ reason, count })) }
}

/** @param limit of the container's memory in bytes; 0 or beyond what a machine has where there is none */
export function stateBytesOf(mebibytes: number | undefined, limit: number): number {
  if (mebibytes !== undefined) return mebibytes * 2 ** 20
  return limit > 0 && limit < 2 ** 50 ? limit / 2 : 2 ** 29
}

/** @throws AppError */
export async function consumerCommand(args: ConsumerArguments): Promise<void> {
  const pipeline = await loadPipeline(args.file)
  const log = await createLogger({ level: args.logLevel, format: args.logFormat })
  const kafka = kafkaSettingsOf(pipeline, args, log)
  const registry = new Registry()
  const foreign = new Counter({
    name: 'anomaly_state_foreign_total',
    help: 'States of keys and partitions that are of other detectors or another version of the program: they are left aside',
    labelNames: ['what'],
    registers: [registry],
  })
  const onForeign = (what: 'profile' | 'partition'): void => foreign.inc({ what })
  const state = createRedisState({
    ...redisSettingsOf(pipeline, args),
    log,
    readMs,
    onForeign,
  })
  const live = livePipeline(args.file, pipeline, { log })
  await runConsumer({
    pipeline,
    live,
    kafka,
    schemaRegistry: schemaRegistryOf(pipeline, args),
    store: state,
    scorer: createGrpcScorer({ address: args.inference, models: resolveModelNames(pipeline.spec.detection).length }),
    probesPort: portOf(args.probesPort, 'probes-port'),
    stateBytes: stateBytesOf(args.stateMebibytes, process.constrainedMemory()),
    signingKey: args.signingKeyFile === undefined ? undefined : keyOfFile(args.signingKeyFile),
    log,
    registry,
    onForeign,
    beneath: [await startTelemetry({ endpoint: args.otlpEndpoint, serviceName: 'anomaly-consumer' }), state, live],
  })
}
