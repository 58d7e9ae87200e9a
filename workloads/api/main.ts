import { Registry } from 'prom-client'
import { AppError, messageOf } from '../../lib/errors.ts'
import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { connectProducer } from '../../lib/kafka/producer.ts'
import { readPartition, readRecord } from '../../lib/kafka/read-partition.ts'
import { type Part, run } from '../../lib/lifecycle.ts'
import { createLogger, type Logger, type LoggerOptions } from '../../lib/log.ts'
import { createMetrics } from '../../lib/metrics.ts'
import { type LivePipeline, livePipeline } from '../../lib/pipeline/live-pipeline.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { resolveModelNames } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { createProbes } from '../../lib/probes.ts'
import { startTelemetry } from '../../lib/telemetry.ts'
import type { History } from '../history/history.ts'
import { openHistory } from '../history/open-history.ts'
import { createApp } from '../rest/app.ts'
import { bearerAuth, knownTokens } from '../rest/bearer-auth.ts'
import { type BearerTokens, createBearerTokens } from '../rest/bearer-tokens.ts'
import { createLiveEvents } from '../rest/live-events.ts'
import { createOidc } from '../rest/oidc.ts'
import { createApiServer } from '../rest/server.ts'
import { createGrpcScorer, type GrpcScorer } from '../scoring/grpc.ts'
import { persistentScorer } from '../scoring/persistent-scorer.ts'
import { historySettingsOf, type PostgresArguments } from '../settings/history-settings.ts'
import { type KafkaArguments, kafkaSettingsOf } from '../settings/kafka-settings.ts'
import { portOf } from '../settings/port-of.ts'
import { type RedisArguments, redisSettingsOf } from '../settings/redis-settings.ts'
import { type SchemaRegistryArguments, schemaRegistryOf } from '../settings/schema-registry-settings.ts'
import { keyOfFile } from '../settings/text-file.ts'
import { createRedisState } from '../state/redis.ts'
import type { StateStore } from '../state/state.ts'
import type { SchemaRegistry } from '../wire/schema-registry.ts'
import { createDistributedDoor } from './distributed-door.ts'
import { createEventPublisher } from './event-publisher.ts'
import { createFeatureNames } from './feature-names.ts'
import { createPeers, type Peer, parsePeer } from './peers.ts'
import { pipelineOverview } from './pipeline-overview.ts'
import { publishedEvents } from './published-events.ts'
import { createSentVerdicts } from './sent-verdicts.ts'
import { withSourceEvents } from './source-events.ts'
import { createSourceTopic } from './source-topic.ts'

export interface ApiArguments extends KafkaArguments, RedisArguments, PostgresArguments, SchemaRegistryArguments {
  readonly file: string
  readonly port: number
  /** Address to listen on; every one if absent. */
  readonly host?: string | undefined
  readonly probesPort: number
  readonly inference: string
  readonly signingKeyFile?: string | undefined
  readonly tokenDir?: string | undefined
  readonly tokenFile?: string | undefined
  /** `ROLE=HOST:PORT` each. */
  readonly peer?: readonly string[] | undefined
  readonly otlpEndpoint?: string | undefined
  /** Seconds between SIGTERM and the end of the server, in which callers go elsewhere. */
  readonly drainSeconds: number
  readonly logLevel: NonNullable<LoggerOptions['level']>
  readonly logFormat?: LoggerOptions['format']
}

export interface ApiOptions {
  readonly pipeline: Pipeline
  readonly live?: LivePipeline | undefined
  readonly kafka: KafkaSettings
  readonly store: StateStore
  readonly scorer: GrpcScorer
  /** Needed where events are published. */
  readonly signingKey: ReturnType<typeof keyOfFile> | undefined
  readonly tokens: BearerTokens | undefined
  /** What was judged before, closed in the end. */
  readonly history?: History | undefined
  /** Of events that a history leads back to. */
  readonly schemaRegistry?: SchemaRegistry | undefined
  /** The processes of the pipeline. */
  readonly peers?: readonly Peer[] | undefined
  readonly port: number
  readonly host?: string | undefined
  readonly probesPort: number
  readonly log: Logger
  /** For an answer, in ms. */
  readonly deadlineMs?: number | undefined
  readonly drainMs?: number | undefined
  readonly stop?: AbortController | undefined
  /** Parts that must outlive the server, such as the store's connection; started first. */
  readonly beneath?: readonly Part[] | undefined
  readonly onStarted?: ((ports: { readonly api: number; readonly probes: number }) => void) | undefined
}

/** Of inference within a request's deadline, so that there is time to answer without it. */
const scoringMs = { deadlineMs: 1500, attemptMs: 750 }

/** Answers requests for verdicts until a signal comes. */
export async function runApi(options: ApiOptions): Promise<void> {
  const { pipeline, kafka, store, signingKey, tokens, log, deadlineMs = 5000 } = options
  const { source, event, detection, results } = pipeline.spec
  const needsModel = detection.onModelUnavailable === 'Wait'
  const scorer = needsModel ? persistentScorer(options.scorer) : options.scorer
  const stop = options.stop ?? new AbortController()
  const registry = new Registry()
  const names = createFeatureNames({ store: store.features, ttlMs: 1000 * pipeline.spec.state.profileTtlSeconds, log })
  const topic = createSourceTopic({ topic: source.topic, admin: openAdmin(kafka, { timeoutMs: 3000 }), log })
  const publisher = signingKey === undefined ? undefined : createEventPublisher(() => connectProducer(kafka))
  const sent =
    signingKey &&
    createSentVerdicts({
      topic: source.topic,
      signingKey,
      read: (from, onRecord) => readPartition(kafka, { topic: source.topic, ...from }, onRecord),
      onError: (error) => topic.suspect(messageOf(error)),
    })
  const door = createDistributedDoor({
    pipeline,
    live: options.live,
    store,
    scorer,
    topic,
    names,
    publishing: publisher && sent && signingKey && { publisher, sent, signingKey },
    metrics: createMetrics(registry),
    wall: Date.now,
    clock: () => performance.now(),
    deadlineMs,
  })
  const history =
    options.history &&
    withSourceEvents(options.history, {
      pipeline,
      schemaRegistry: options.schemaRegistry,
      read: (place) => readRecord(kafka, { topic: source.topic, ...place }),
    })
  const doorPart: Part = { name: 'door', stop: door.close }
  const historyPart: Part | undefined = history && { name: 'history', stop: () => history.close() }
  const published = { verdicts: results.topic, episodes: results.episodesTopic, pipeline: pipeline.metadata.name }
  const events = createLiveEvents(publishedEvents(kafka, published))
  const openFeedback = detection.feedback?.authentication === 'None'
  const authentication = authenticationOf(pipeline, tokens)
  const takesFeedback = door.feedback !== undefined && (authentication.authenticate !== undefined || openFeedback)
  const peers = createPeers(options.peers ?? [], { clock: () => performance.now() })
  const app = createApp(door, {
    log,
    registry,
    event,
    live: events,
    history,
    detection: () => (options.live ?? pipeline.spec).detection,
    openFeedback,
    overview: async () => pipelineOverview(await peers(), { pipeline, health: door.health(), takesFeedback }),
    ...authentication,
    timeoutMs: deadlineMs + 2000,
  })
  const server = createApiServer(app, { port: options.port, host: options.host })
  const probes = createProbes({
    port: options.probesPort,
    registry,
    stopping: stop.signal,
    ready: { kafka: door.problem, ...(needsModel ? { inference: () => scorer.problem() } : {}) },
    status: () => ({
      generation: options.live?.generation,
      modelVersion: scorer.modelVersion,
      kafka: topic.problem() ?? 'ok',
      redis: store.problem() ?? 'ok',
      inference: scorer.problem() ?? 'ok',
    }),
  })
  const started: Part = {
    name: 'start',
    start() {
      log.info({ api: server.port, probes: probes.port, topic: source.topic }, 'started')
      options.onStarted?.({ api: server.port, probes: probes.port })
    },
  }
  const parts = [
    probes,
    ...(options.beneath ?? []),
    scorer,
    names,
    topic,
    publisher,
    sent,
    doorPart,
    historyPart,
    tokens,
    server,
    events,
    started,
  ]
  await run(
    parts.filter((part) => part !== undefined),
    { log, stop, drainMs: options.drainMs, lingerMs: 1000 },
  )
}

/** @throws AppError */
export async function apiCommand(args: ApiArguments): Promise<void> {
  const pipeline = await loadPipeline(args.file)
  const log = await createLogger({ level: args.logLevel, format: args.logFormat })
  const kafka = kafkaSettingsOf(pipeline, args, log)
  const state = createRedisState({ ...redisSettingsOf(pipeline, args), log })
  const live = livePipeline(args.file, pipeline, { log })
  await runApi({
    pipeline,
    live,
    kafka,
    store: state,
    scorer: createGrpcScorer({
      address: args.inference,
      ...scoringMs,
      models: resolveModelNames(pipeline.spec.detection).length,
      // What is published comes to the consumers, and they have it learnt.
      scoreOnly: pipeline.spec.api.publishEvents === 'Enabled',
    }),
    signingKey: signingKeyOf(pipeline, args),
    tokens: tokensOf(pipeline, args, log),
    history: historyOf(pipeline, args, log),
    schemaRegistry: pipeline.spec.history && schemaRegistryOf(pipeline, args),
    peers: args.peer?.map(parsePeer),
    port: portOf(args.port, 'port'),
    host: args.host,
    probesPort: portOf(args.probesPort, 'probes-port'),
    log,
    drainMs: args.drainSeconds * 1000,
    beneath: [await startTelemetry({ endpoint: args.otlpEndpoint, serviceName: 'anomaly-api' }), state, live],
  })
}

function historyOf(pipeline: Pipeline, args: ApiArguments, log: Logger): History | undefined {
  const settings = historySettingsOf(pipeline, args)
  return settings && openHistory(settings, log)
}

function signingKeyOf({ spec }: Pipeline, { signingKeyFile }: ApiArguments) {
  if (spec.api.publishEvents === 'Disabled') return undefined
  if (signingKeyFile !== undefined) return keyOfFile(signingKeyFile)
  throw new AppError(
    'InvalidArgument',
    'Cannot publish events: --signing-key-file is missing. Consumers accept a verdict only with a signature by that key. Name the file, or set api.publishEvents to Disabled',
  )
}

function authenticationOf({ spec }: Pipeline, tokens: BearerTokens | undefined) {
  const { oidc } = spec.api.auth
  if (oidc === undefined) return { authenticate: tokens && bearerAuth(tokens.current), signIn: undefined }
  const { guard, signIn } = createOidc({ ...oidc, isKnown: tokens && knownTokens(tokens.current) })
  return { authenticate: guard, signIn }
}

function tokensOf({ spec }: Pipeline, { tokenDir, tokenFile }: ApiArguments, log: Logger): BearerTokens | undefined {
  const isGiven = tokenDir !== undefined || tokenFile !== undefined
  if (isGiven !== (spec.api.auth.secretRef !== undefined))
    throw new AppError(
      'InvalidArgument',
      isGiven
        ? 'Cannot ask for bearer tokens: they are given, and api.auth names none'
        : 'Cannot ask for bearer tokens: api.auth.secretRef names some, and neither --token-dir nor --token-file is given',
    )
  return isGiven ? createBearerTokens({ folder: tokenDir, file: tokenFile, log }) : undefined
}
