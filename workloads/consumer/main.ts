import type { KeyObject } from 'node:crypto'
import { Counter, Gauge, Registry } from 'prom-client'
import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { type Part, run } from '../../lib/lifecycle.ts'
import { createLogger, type Logger, type LoggerOptions } from '../../lib/log.ts'
import { createMetrics } from '../../lib/metrics.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { resolveGroup, resolveModelNames } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { createProbes } from '../../lib/probes.ts'
import { extract, startTelemetry, traced } from '../../lib/telemetry.ts'
import { backoff, sleep } from '../../lib/time.ts'
import type { TraceHeaders } from '../../lib/tracing.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { judgementMetrics } from '../judging/judgement-metrics.ts'
import { KeptState } from '../judging/kept-state.ts'
import { type ProcessedBatch, Processor } from '../judging/processor.ts'
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
import type { OutgoingRecord, RecordBatch, StreamHandler, StreamRecord } from '../streams/stream.ts'
import { deadLetterHeaders } from '../wire/dead-letter.ts'
import { futureTolerance, type Origin } from '../wire/decode.ts'
import { FieldCensus } from '../wire/field-census.ts'
import { parseBody } from '../wire/json-body.ts'
import { recordKeyText } from '../wire/record-key.ts'
import type { SchemaRegistry } from '../wire/schema-registry.ts'
import { verifyVerdict } from '../wire/signed-verdict.ts'

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

/** Made for every record, and asked by few: most events carry an id and a key. */
class RecordOrigin implements Origin {
  readonly #record: StreamRecord
  readonly #batch: RecordBatch
  readonly latest = Date.now() + futureTolerance

  constructor(record: StreamRecord, batch: RecordBatch) {
    this.#record = record
    this.#batch = batch
  }

  get id(): string {
    return `${this.#batch.topic}-${this.#batch.partition}-${this.#record.offset}`
  }

  get source(): string {
    return this.#batch.topic
  }

  get recordKey(): string | undefined {
    return recordKeyText(this.#record.key)
  }

  get headers(): StreamRecord['headers'] {
    return this.#record.headers
  }

  get arrival(): number {
    return this.#record.timestamp
  }
}

/** Judges the events of the partitions that the group assigns to this process, until a signal comes. */
export async function runConsumer(options: ConsumerOptions): Promise<void> {
  const { pipeline, kafka, store, log, schemaRegistry, stateBytes, signingKey, stuckMs = 60_000 } = options
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
  const misplaced = new Counter({
    name: 'anomaly_consumer_misplaced_batches_total',
    help: 'Batches whose first record had another key than its event: such a key has a profile in every partition',
    registers: [registry],
  })
  const census = new FieldCensus(pipeline)
  const conditions = { offsetsLost: 0, keysMisplaced: false, unprocessable: 0, topicsRemade: 0 }
  const schema = new FeatureSchema()
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
      if (schema.size > 0) extendSchema([]).catch(() => {})
    },
    onForeign: options.onForeign,
    onLookups: (outcome, count) => metrics.stateLookups.inc({ outcome }, count),
  })

  let isClosed = false
  /** With all that is known, so that a store that lost the names gets them back in the same order. */
  async function extendSchema(names: readonly string[]): Promise<void> {
    try {
      const known = await store.features.extend([...schema.names, ...names])
      if (schema.names.some((name, i) => known[i] !== name && known[i] !== ''))
        log.error(
          { known: known.length },
          'feature names have another order in the store: its state means nothing here',
        )
      schema.adopt(known, names)
      isClosed = false
    } catch (error) {
      // Without the store every process would have an order of its own.
      if (!isClosed) log.warn({ error, names }, 'new features cannot be made known: they are left aside until they can')
      isClosed = true
      throw error
    }
  }

  const processor = new Processor({
    pipeline,
    schema,
    scorer,
    partitions: kept,
    clock,
    extendSchema,
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
    observer: observed,
  })

  const count = judgementMetrics({ metrics, clock, modelVersion: () => scorer.modelVersion })

  /** A pipeline that reads other fields than its events have runs without a word otherwise. */
  function takeCensus(records: readonly StreamRecord[]): void {
    if (census.isFull) return
    for (const { value, headers } of records) {
      const parsed = schemaRegistry === undefined ? parseBody(value) : schemaRegistry.parse(value)
      if ('value' in parsed) census.add(parsed.value, headers)
    }
    if (census.isFull) for (const warning of census.warnings()) log.warn({ topic: source.topic }, warning)
  }

  function observed(processed: ProcessedBatch): () => void {
    takeCensus(processed.batch.records)
    const counted = count(processed)
    const { batch, events } = processed
    const at = events.findIndex((event) => event !== undefined)
    const isMisplaced = at >= 0 && (recordKeyText(batch.records[at]!.key) ?? '') !== events[at]!.key
    const { topic, partition } = batch
    return () => {
      counted()
      if (!isMisplaced) return
      misplaced.inc()
      if (conditions.keysMisplaced) return
      conditions.keysMisplaced = true
      log.warn(
        { topic, partition },
        "record keys are not the events' keys: a key has a profile in every partition that it occurs in",
      )
    }
  }

  const stream = new KafkaStream(kafka, {
    topic: source.topic,
    ...resolveGroup(pipeline),
    startFrom: source.startFrom,
    onOffsetLost: (of, { from, to }) => {
      conditions.offsetsLost += Math.max(0, to - from)
      offsetsLost.inc(Math.max(0, to - from))
      log.error({ ...of, from, to }, 'records are gone from the log before they were read')
    },
    onTopicRemade: () => {
      conditions.topicsRemade++
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
      conditions.unprocessable++
      metrics.countRejection('Unprocessable')
    },
  })

  /** A batch's work continues the trace of its first record; the others are linked. */
  const handler: StreamHandler = {
    assigned: (partition) => processor.assigned(partition),
    batch: (batch: RecordBatch, signal) => {
      const traces: TraceHeaders[] = []
      for (const { headers } of batch.records) {
        const trace = headers?.traceparent === undefined ? undefined : extract((name) => headers[name])
        if (trace !== undefined) traces.push(trace)
      }
      const [parent, ...links] = traces
      return traced('consume batch', { kind: 'consumer', parent, links: links.slice(0, 100) }, () =>
        processor.batch(batch, signal),
      )
    },
    committed: (partition) => processor.committed(partition),
    dropped: (partition) => processor.dropped(partition),
    releasing: (partitions) => processor.releasing(partitions),
    revoked: (partition) => processor.revoked(partition),
  }

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
  const topics: Part = {
    name: 'topics',
    async start(signal) {
      const admin = openAdmin(kafka)
      try {
        for (let failures = 1; !signal.aborted; failures++) {
          try {
            if (source.createTopics.mode === 'Disabled') return
            const { partitions } = source.createTopics
            const created = await admin.createMissingTopics(
              [source.topic, results.topic, results.deadLetterTopic].map((topic) => ({ topic, partitions })),
            )
            if (created.length > 0) log.info({ created, partitions }, 'topics created')
            return
          } catch (error) {
            log.warn({ error }, 'topics cannot be looked up yet')
            await sleep(backoff(failures, { baseMs: 200, maxMs: 5000 }), { signal })
          }
        }
      } finally {
        admin.close()
      }
    },
  }
  const names: Part = {
    name: 'features',
    async start() {
      // Where the store is away, names come with the first event that has them.
      const known = await store.features.names().catch(() => [])
      schema.adopt(known)
    },
  }
  let consuming: Promise<void> = Promise.resolve()
  const loop: Part = {
    name: 'consumer',
    start() {
      consuming = stream.consume(handler, { signal: stop.signal })
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
      conditions,
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
  await run([probes, ...(options.beneath ?? []), scorer, topics, names, lag, loop, started], {
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
