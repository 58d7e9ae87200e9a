import { Server, ServerCredentials, type ServerOptions, status } from '@grpc/grpc-js'
import { createByteBudget } from '../../lib/byte-budget.ts'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Check } from '../../lib/probes.ts'
import { type ScoreRowsRequest, type ScoreRowsResponse, ScoringServiceService } from '../gen/anomaly/v1/scoring.ts'
import {
  type AnomalyDetectionServiceServer,
  AnomalyDetectionServiceService,
  type AnomalyRequest,
  type AnomalyResponse,
  HealthCheckResponse_ServingStatus as Serving,
} from '../gen/anomaly_detection.ts'
import { HealthService } from '../gen/grpc/health/v1/health.ts'
import { boundMessages } from './bound-messages.ts'
import type { DetectService } from './detect-service.ts'
import { detectStream, loadOf } from './detect-stream.ts'
import { createHealthService } from './health-service.ts'
import type { InferenceMetrics } from './inference-metrics.ts'
import { overRows } from './over-rows.ts'
import { addReflection } from './reflection.ts'
import { RowQueue } from './row-queue.ts'
import { RpcError } from './rpc-error.ts'
import type { ScoringService } from './scoring-service.ts'

export interface InferenceServerOptions {
  /** 0 takes a free one. */
  readonly port: number
  readonly host?: string | undefined
  readonly scoring: ScoringService
  readonly detect: DetectService
  /** Why nothing can be scored yet, or undefined. */
  readonly ready: Check
  /** Aborted when the process stops: from then on health says NOT_SERVING. */
  readonly stopping: AbortSignal
  readonly metrics: InferenceMetrics
  /** Rows that may wait to be scored; more are answered RESOURCE_EXHAUSTED. */
  readonly maxRows?: number | undefined
  /** Of a message, either way. */
  readonly maxMessageBytes?: number | undefined
  /** After this time a connection is made anew, give or take 10 %, so that callers find new replicas. */
  readonly maxConnectionAgeMs?: number | undefined
  /** How long calls in flight may take once the server stops; then they are cut. */
  readonly graceMs?: number | undefined
}

export interface InferenceServer extends Part {
  /** Once started; tells which port was free where port 0 was asked for. */
  readonly port: number
}

/** Bytes of rows that may wait to be scored, and of messages that are being read. */
const [maxWaitingBytes, maxReadingBytes] = [64 * 2 ** 20, 64 * 2 ** 20]
/** Of the contract for single events: a thousand features with long names. */
const maxEventBytes = 256 * 1024
const [maxConnections, maxStreams] = [500, 200]

/** Both services, the standard health and reflection on one port, without TLS. */
export function createInferenceServer(options: InferenceServerOptions): InferenceServer {
  const { scoring, detect, ready, stopping, metrics, host = '::' } = options
  const { maxMessageBytes = 16 * 2 ** 20, maxConnectionAgeMs = 300_000, graceMs = 10_000 } = options
  const queue = new RowQueue({ maxRows: options.maxRows ?? 50_000, maxBytes: maxWaitingBytes })
  metrics.watchWaiting(() => queue.waiting)
  const isServing = () => !stopping.aborted && ready() === undefined
  const serverOptions: ServerOptions = {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.max_connection_age_ms': maxConnectionAgeMs,
    'grpc.max_connection_age_grace_ms': 30_000,
    'grpc.max_concurrent_streams': maxStreams,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 5000,
  }
  const server = boundMessages(new Server(serverOptions), {
    budget: createByteBudget(maxReadingBytes),
    maxConnections,
    isStream: (path) => path === AnomalyDetectionServiceService.detectAnomalyBatch.path,
    maxBytesOf: (path) => (path.startsWith(detectionPath) ? maxEventBytes : maxMessageBytes),
  })

  function requireReady(): void {
    const problem = ready()
    if (problem !== undefined) throw new RpcError(status.UNAVAILABLE, problem)
  }
  const calls = { queue, metrics, requireReady }

  const batches = new WeakMap<ScoreRowsRequest, ReturnType<ScoringService['batchOf']>>()
  const scoreRows = overRows<ScoreRowsRequest, ScoreRowsResponse>(
    calls,
    'ScoreRows',
    (request) => {
      const batch = scoring.batchOf(request)
      batches.set(request, batch)
      return { rows: batch.count, bytes: batch.rows.byteLength }
    },
    (request, _, caller) => scoring.scoreRows(batches.get(request)!, caller),
  )
  const detectAnomaly = overRows<AnomalyRequest, AnomalyResponse>(
    calls,
    'DetectAnomaly',
    loadOf,
    (request, arrived, caller) => detect.detect([request], arrived, caller)[0]!,
  )
  const detectAnomalyBatch = detectStream(calls, detect)

  const health = createHealthService(
    [ScoringServiceService.scoreRows.path, AnomalyDetectionServiceService.detectAnomaly.path].map(serviceOf),
    isServing,
  )
  server.addService(ScoringServiceService, { scoreRows })
  const detection: AnomalyDetectionServiceServer = {
    detectAnomaly,
    detectAnomalyBatch,
    healthCheck(_, callback) {
      const problem = stopping.aborted ? 'the process is stopping' : ready()
      const state = problem === undefined ? Serving.SERVING : Serving.NOT_SERVING
      callback(null, { status: state, message: problem ?? 'ok' })
    },
  }
  server.addService(AnomalyDetectionServiceService, detection)
  server.addService(HealthService, { check: health.check, watch: health.watch })
  addReflection(server)

  let port = 0
  let telling: NodeJS.Timeout | undefined
  return {
    name: 'grpc',
    get port() {
      return port
    },
    async start() {
      port = await new Promise<number>((resolve, reject) =>
        server.bindAsync(
          `${host.includes(':') ? `[${host}]` : host}:${options.port}`,
          ServerCredentials.createInsecure(),
          (error, bound) => {
            if (error === null) resolve(bound)
            else
              reject(
                new AppError('Unavailable', `Cannot listen on port ${options.port} (grpc): ${messageOf(error)}`, {
                  cause: error,
                }),
              )
          },
        ),
      )
      stopping.addEventListener('abort', health.update)
      telling = setInterval(health.update, 1000).unref()
    },
    async stop() {
      clearInterval(telling)
      health.update()
      health.close()
      await new Promise<void>((resolve) => {
        const cut = setTimeout(() => server.forceShutdown(), graceMs)
        server.tryShutdown(() => {
          clearTimeout(cut)
          resolve()
        })
      })
    },
  }
}

const detectionPath = `/${serviceOf(AnomalyDetectionServiceService.detectAnomaly.path)}/`

/** `/package.Service/Method` -> `package.Service` */
function serviceOf(path: string): string {
  return path.slice(1, path.lastIndexOf('/'))
}
