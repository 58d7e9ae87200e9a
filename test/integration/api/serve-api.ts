import { createSecretKey } from 'node:crypto'
import type { KafkaSettings } from '../../../lib/kafka/client.ts'
import type { Logger } from '../../../lib/log.ts'
import { parsePipeline } from '../../../lib/pipeline/parse-pipeline.ts'
import type { Pipeline } from '../../../lib/pipeline/spec.ts'
import { runApi } from '../../../workloads/api/main.ts'
import { createGrpcScorer } from '../../../workloads/scoring/grpc.ts'
import { redisSettingsOf } from '../../../workloads/settings/redis-settings.ts'
import { createRedisState, type RedisState } from '../../../workloads/state/redis.ts'

const verbose = process.env.VERBOSE === '1'
export const log: Logger = {
  debug: () => {},
  info: (fields, message) => verbose && console.error('info', message, JSON.stringify(fields)),
  warn: (fields, message) => verbose && console.error('warn', message, JSON.stringify(fields)),
  error: (fields, message) => verbose && console.error('error', message, fields),
}

export const signingKey = createSecretKey(Buffer.from('the signing key of all tests'))

/** A pipeline of its own topics and keys in Redis. */
export function pipelineOf(
  name: string,
  brokers: readonly string[],
  parts: { readonly api?: object; readonly detection?: object; readonly event?: object } = {},
): Pipeline {
  return parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name },
    spec: {
      source: { brokers, topic: `${name}-events`, startFrom: 'Earliest' },
      results: { topic: `${name}-results`, deadLetterTopic: `${name}-dead` },
      state: { redis: { external: { urlSecretRef: { name: 'redis', key: 'url' } } } },
      ...parts,
    },
  })
}

export const kafkaOf = ({ spec, metadata }: Pipeline): KafkaSettings => ({
  brokers: spec.source.brokers,
  clientId: metadata.name,
  log,
})

export const stateOf = (pipeline: Pipeline, redisUrl: string): RedisState =>
  createRedisState({ ...redisSettingsOf(pipeline, { redisUrl }), log })

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON; undefined where it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look at all kinds of bodies
  readonly body: any
}

export interface ServedApi {
  readonly url: string
  ask(path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>
  detect(event: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>
  /** An answer of the port for probes. */
  probe(path: string): Promise<Answer>
  stop(): Promise<void>
}

/** An API replica in this process, ready to answer. */
export async function serveApi(
  pipeline: Pipeline,
  servers: { readonly redisUrl: string; readonly inference: string },
  options: { readonly deadlineMs?: number } = {},
): Promise<ServedApi> {
  const stop = new AbortController()
  const started = Promise.withResolvers<{ readonly api: number; readonly probes: number }>()
  const state = stateOf(pipeline, servers.redisUrl)
  const ended = runApi({
    pipeline,
    kafka: kafkaOf(pipeline),
    store: state,
    scorer: createGrpcScorer({ address: servers.inference, deadlineMs: 1500, attemptMs: 750 }),
    signingKey: pipeline.spec.api.publishEvents === 'Enabled' ? signingKey : undefined,
    tokens: undefined,
    port: 0,
    host: '127.0.0.1',
    probesPort: 0,
    log,
    stop,
    beneath: [state],
    onStarted: started.resolve,
    ...options,
  })
  ended.catch(started.reject)
  const { api, probes } = await started.promise
  return {
    ...clientOf(api, probes),
    stop: async () => {
      stop.abort()
      await ended
    },
  }
}

export function clientOf(api: number, probes: number): Omit<ServedApi, 'stop'> {
  const url = `http://127.0.0.1:${api}`
  const ask: ServedApi['ask'] = (path, body, headers) => fetched(`${url}${path}`, body, headers)
  return {
    url,
    ask,
    detect: (event, headers) => ask('/api/v1/detect', event, headers),
    probe: (path) => fetched(`http://127.0.0.1:${probes}${path}`),
  }
}

async function fetched(url: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const sent =
    body === undefined
      ? { headers }
      : { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) }
  const response = await fetch(url, sent)
  const text = await response.text()
  const isJson = /json/.test(response.headers.get('content-type') ?? '')
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson ? JSON.parse(text) : undefined,
  }
}
