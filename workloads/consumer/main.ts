import type { KeyObject } from 'node:crypto'
import { Counter, Gauge, Registry } from 'prom-client'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import type { OutgoingRecord } from '../../lib/kafka/records.ts'
import { type Part, run } from '../../lib/lifecycle.ts'
import { createLogger, type Logger, type LoggerOptions } from '../../lib/log.ts'
import { createMetrics } from '../../lib/metrics.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { resolveGroup, resolveModelNames } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { createProbes } from '../../lib/probes.ts'
import { startTelemetry } from '../../lib/telemetry.ts'
import { backoff, sleep } from '../../lib/time.ts'
import { judgementMetrics } from '../judging/judgement-metrics.ts'
import { KeptState } from '../judging/kept-state.ts'
import { NewFeatures } from '../judging/new-features.ts'
import { Processor } from '../judging/processor.ts'
import { createSharedSchema } from '../judging/shared-schema.ts'
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
import { lineOf } from '../streams/problem.ts'
import { deadLetterHeaders } from '../wire/dead-letter.ts'
import { parseBody } from '../wire/json-body.ts'
import type { SchemaRegistry } from '../wire/schema-registry.ts'
import { verifyVerdict } from '../wire/signed-verdict.ts'
import { fieldWarnings } from './field-warnings.ts'
import { MisplacedKeys } from './misplaced-keys.ts'
import { missingTopics } from './missing-topics.ts'
import { RecordOrigin } from './record-origin.ts'
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
}

export interface ConsumerOptions {
  readonly pipeline: Pipeline
  readonly kafka: KafkaSettings
  readonly store: StateStore
  readonly scorer: GrpcScorer
  readonly schemaRegistry?: SchemaRegistry | undefined
  readonly probesPort: number
  readonly stateBytes: number
  readonly log: Logger
  /** The key with which the API signs verdicts. Without it the consumer judges every event itself. */
  readonly signingKey?: KeyObject | undefined
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

const longestPauseMs = 2000
/** A store that is only slow is waited for: what is learnt without knowing the stored state is lost again. */
const readMs = 500
/** Last features of a key that sends many events are half of what there is to write; they only stand in for absent ones. */
const featuresEveryMs = 5000

/** Judges the events of the partitions that the group assigns to this process, until a signal comes. */
export async function runConsumer(options: ConsumerOptions): Promise<void> {
  const {
    pipeline,
    kafka,
    store,
    log,
    schemaRegistry,
    stateBytes,
    signingKey,
    stuckMs = 60_000,
    beneath = [],
  } = options
  const { source, results, detection, state } = pipeline.spec
  const needsModel = detection.onModelUnavailable === 'Wait'
  const scorer = needsModel ? persistentScorer(options.scorer) : options.scorer
  const stop = options.stop ?? new AbortController()
  const { registry = new Registry() } = options
  const clock = () => performance.now()
  const metrics = createMetrics(registry, clock)
  new Gauge({
    name: 'anomaly_state_pending_keys',
    help: 'Keys whose state is not written yet',
    registers: [registry],
    collect() {
      this.set(kept.pending)
    },
  })
  const offsetsLost = new Counter({
    name: 'anomaly_consumer_offsets_lost_total',
    help: 'Records that were gone from the log before they were read',
    registers: [registry],
  })
  const topicRemade = new Counter({
    name: 'anomaly_consumer_topic_remade_total',
    help: 'Partitions that began anew because their topic was deleted and made anew',
    registers: [registry],
  })
  const misplaced = new MisplacedKeys(registry, log)
  const newFeatures = new NewFeatures({ registry, log, wall: Date.now })
  const names = createSharedSchema({ store: store.features, log, newFeatures })
  const { schema } = names
  const counts = { offsetsLost: 0, unprocessable: 0, topicsRemade: 0 }
  const warnOfFields = fieldWarnings({ pipeline, log, parse: schemaRegistry?.parse ?? parseBody })
  const kept = new KeptState({
    pipeline,
    store,
    schema,
    log,
    stateBytes,
    wall: Date.now,
    // a key that goes on sending events must not lose its features meanwhile
    featuresEveryMs: Math.min(featuresEveryMs, 500 * state.featureTtlSeconds),
    onFenced: (partition) =>
      log.warn({ partition }, 'the state of the partition has a newer owner: nothing more is written'),
    onEmptied: () => {
      if (schema.size > 0) names.extend([]).catch(() => {})
    },
    onForeign: options.onForeign,
    onLookups: (outcome, count) => metrics.stateLookups.inc({ outcome }, count),
  })

  const count = judgementMetrics({ metrics, clock, modelVersion: () => scorer.modelVersion })
  const processor = new Processor({
    pipeline,
    schema,
    scorer,
    partitions: kept,
    clock,
    extendSchema: names.extend,
    ...(schemaRegistry === undefined
      ? undefined
      : {
          prepare: ({ records }, signal) =>
            schemaRegistry.prepare(
              records.map(({ value }) => value),
              signal,
            ),
          parse: ({ value }) => schemaRegistry.parse(value),
        }),
    originOf: (record, batch) => new RecordOrigin(record, batch),
    rejectionOf: ({ unreadable }) => {
      return unreadable === undefined ? undefined : { reason: 'Unreadable', message: unreadable }
    },
    givenVerdict:
      signingKey === undefined
        ? undefined
        : ({ key, value, headers }, event, { topic }) =>
            headers === undefined
              ? undefined
              : verifyVerdict(signingKey, { topic, key, eventId: event.id, value }, headers),
    pause: async (attempt, signal) => {
      stream.waiting()
      await sleep(backoff(attempt + 1, { baseMs: 100, maxMs: longestPauseMs }), { signal })
    },
    asBytes: true,
    observer: (processed) => {
      warnOfFields(processed.batch.records)
      const [counted, noticed] = [count(processed), misplaced.observe(processed)]
      return () => {
        counted()
        noticed()
      }
    },
  })

  const stream = new KafkaStream(kafka, {
    topic: source.topic,
    ...resolveGroup(pipeline),
    startFrom: source.startFrom,
    onOffsetLost: (_, { from, to }) => {
      counts.offsetsLost += Math.max(0, to - from)
      offsetsLost.inc(Math.max(0, to - from))
    },
    onTopicRemade: () => {
      counts.topicsRemade++
      topicRemade.inc()
    },
    // Of a dead letter what leads to the record is kept.
    tooLarge: ({ topic, key, headers }: OutgoingRecord) => ({
      topic: results.deadLetterTopic,
      key,
      value: null,
      headers: {
        'anomaly-reason': 'TooLarge',
        'anomaly-message': `the record with the reason for its rejection is larger than ${topic} takes`,
        'anomaly-topic': headers?.['anomaly-topic'],
        'anomaly-partition': headers?.['anomaly-partition'],
        'anomaly-offset': headers?.['anomaly-offset'],
      },
    }),
    unprocessable: ({ key, value, headers, offset }, of, error) => ({
      topic: results.deadLetterTopic,
      key,
      value,
      headers: deadLetterHeaders(headers, { ...of, offset, reason: 'Unprocessable', message: lineOf(error) }),
    }),
    onSetAside: () => {
      counts.unprocessable++
      metrics.countRejection('Unprocessable')
    },
  })

  const lag: Part = {
    name: 'lag',
    start() {
      const timer = setInterval(() => {
        for (const [partition, waiting] of stream.lag())
          metrics.consumerLag.set({ partition: String(partition) }, waiting)
      }, 1000)
      timer.unref()
    },
  }
  const topics = missingTopics(pipeline, kafka, log)
  let consuming: Promise<void> = Promise.resolve()
  const loop: Part = {
    name: 'consumer',
    start() {
      consuming = stream.consume(tracedHandler(processor), { signal: stop.signal })
      consuming.catch((error: unknown) => stop.abort(error))
    },
    stop: () => consuming,
  }
  const probes = createProbes({
    port: options.probesPort,
    registry,
    stopping: stop.signal,
    live: {
      'poll-loop': () =>
        performance.now() - stream.polledAt() > stuckMs
          ? `has not turned for ${Math.round((performance.now() - stream.polledAt()) / 1000)} s`
          : undefined,
    },
    ready: {
      kafka: () => stream.problemOf('kafka'),
      state: () => stream.problemOf('state'),
      inference: () => stream.problemOf('inference') ?? (needsModel ? scorer.problem() : undefined),
      record: () => stream.problemOf('record'),
    },
    status: () => ({
      ...metrics.lately.totals,
      keys: kept.keys,
      modelVersion: scorer.modelVersion,
      lag: Object.fromEntries(stream.lag()),
      conditions: { ...counts, keysMisplaced: misplaced.wereSeen },
      news: newFeatures.lately,
      // Long names, and more than anybody reads, would only make it long.
      features: schema.names.slice(0, 500).map((name) => name.slice(0, 128)),
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
  await run([probes, ...beneath, scorer, topics, names, lag, loop, started], {
    log,
    stop,
    lingerMs: 1000,
  })
}

/** @param limit of the container's memory in bytes; 0 or beyond what a machine has where there is none */
export function stateBytesOf(mebibytes: number | undefined, limit: number): number {
  if (mebibytes !== undefined) return mebibytes * 2 ** 20
  return limit > 0 && limit < 2 ** 50 ? limit / 2 : 2 ** 29
}

/** @throws AppError */
export async function consumerCommand(args: ConsumerArguments): Promise<void> {
  const pipeline = await loadPipeline(args.file)
  const log = await createLogger({ level: args.logLevel })
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
  await runConsumer({
    pipeline,
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
    beneath: [await startTelemetry({ endpoint: args.otlpEndpoint, serviceName: 'anomaly-consumer' }), state],
  })
}
