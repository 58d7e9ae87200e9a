import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerOptions,
  type ServerUnaryCall,
  status,
} from '@grpc/grpc-js'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Check } from '../../lib/probes.ts'
import { extract, traced } from '../../lib/telemetry.ts'
import type { TraceHeaders } from '../../lib/tracing.ts'
import { type ScoreRowsRequest, type ScoreRowsResponse, ScoringServiceService } from '../gen/anomaly/v1/scoring.ts'
import {
  type AnomalyDetectionServiceServer,
  AnomalyDetectionServiceService,
  type AnomalyRequest,
  type AnomalyResponse,
  HealthCheckResponse_ServingStatus as Serving,
} from '../gen/anomaly_detection.ts'
import { HealthService } from '../gen/grpc/health/v1/health.ts'
import type { DetectService } from './detect-service.ts'
import { createHealthService } from './health-service.ts'
import type { InferenceMetrics } from './inference-metrics.ts'
import { addReflection } from './reflection.ts'
import { RowQueue } from './row-queue.ts'
import { RpcError, rpcErrorOf } from './rpc-error.ts'
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

/** Messages of one stream that are scored together, and after which it is not read on until they are answered. */
const streamBatch = 512

/** Both services, the standard health and reflection on one port, without TLS. */
export function createInferenceServer(options: InferenceServerOptions): InferenceServer {
  const { scoring, detect, ready, stopping, metrics, host = '::' } = options
  const { maxMessageBytes = 16 * 2 ** 20, maxConnectionAgeMs = 300_000, graceMs = 10_000 } = options
  const queue = new RowQueue({ maxRows: options.maxRows ?? 50_000 })
  metrics.watchWaiting(() => queue.waiting)
  const isServing = () => !stopping.aborted && ready() === undefined
  const serverOptions: ServerOptions = {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.max_connection_age_ms': maxConnectionAgeMs,
    'grpc.max_connection_age_grace_ms': 30_000,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 5000,
  }
  const server = new Server(serverOptions)

  function requireReady(): void {
    const problem = ready()
    if (problem !== undefined) throw new RpcError(status.UNAVAILABLE, problem)
  }

  /** A unary method over rows: nothing is done for a caller who has gone or whose deadline has passed. */
  function overRows<Request, Response>(
    method: string,
    rowsOf: (request: Request) => number,
    work: (request: Request, arrived: number) => Response,
  ): handleUnaryCall<Request, Response> {
    return (call, callback) => {
      const arrived = performance.now()
      const deadline = new Date(call.getDeadline()).getTime()
      const isWanted = () => !call.cancelled && !(Date.now() >= deadline)
      const answered = traced(method, { kind: 'server', parent: traceOf(call) }, async () => {
        requireReady()
        const rows = rowsOf(call.request)
        const response = await queue.run(rows, isWanted, () => work(call.request, arrived))
        if (response === undefined) throw new RpcError(status.CANCELLED, 'nobody waits for the answer any more')
        metrics.scored(rows, performance.now() - arrived)
        return response
      })
      answered.then(
        (response) => {
          metrics.answered(method, 'OK')
          callback(null, response)
        },
        (error: unknown) => {
          const { code, message } = rpcErrorOf(error)
          metrics.answered(method, status[code])
          callback({ code, details: message })
        },
      )
    }
  }

  const batches = new WeakMap<ScoreRowsRequest, ReturnType<ScoringService['batchOf']>>()
  const scoreRows = overRows<ScoreRowsRequest, ScoreRowsResponse>(
    'ScoreRows',
    (request) => {
      const batch = scoring.batchOf(request)
      batches.set(request, batch)
      return batch.count
    },
    (request) => scoring.scoreRows(batches.get(request)!),
  )
  const detectAnomaly = overRows<AnomalyRequest, AnomalyResponse>(
    'DetectAnomaly',
    () => 1,
    (request, arrived) => detect.detect([request], arrived)[0]!,
  )

  const detectAnomalyBatch: handleBidiStreamingCall<AnomalyRequest, AnomalyResponse> = (call) => {
    const method = 'DetectAnomalyBatch'
    let waiting: AnomalyRequest[] = []
    let arrived = 0
    let working = false
    let ended = false
    let proceed = () => {}

    async function answerWaiting(): Promise<void> {
      while (waiting.length > 0 && !call.cancelled) {
        const requests = waiting
        waiting = []
        requireReady()
        const responses = await queue.run(
          requests.length,
          () => !call.cancelled,
          () => detect.detect(requests, arrived),
        )
        if (responses === undefined) return
        metrics.scored(requests.length, performance.now() - arrived)
        let flows = true
        for (const response of responses) flows = call.write(response)
        if (!flows && !call.cancelled) await new Promise<void>((resolve) => (proceed = resolve))
      }
    }
    function begin(): void {
      if (working) return
      working = true
      answerWaiting().then(
        () => {
          working = false
          if (call.isPaused()) call.resume()
          if (!ended || waiting.length > 0) return
          metrics.answered(method, 'OK')
          call.end()
        },
        (error: unknown) => {
          const { code, message } = rpcErrorOf(error)
          metrics.answered(method, status[code])
          call.emit('error', { code, details: message })
        },
      )
    }
    call.on('data', (request: AnomalyRequest) => {
      if (waiting.length === 0) arrived = performance.now()
      waiting.push(request)
      if (waiting.length >= streamBatch) call.pause()
      begin()
    })
    call.on('end', () => {
      ended = true
      begin()
    })
    for (const event of ['drain', 'cancelled']) call.on(event, () => proceed())
    call.on('error', () => {})
  }

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

function traceOf(call: ServerUnaryCall<unknown, unknown>): TraceHeaders | undefined {
  return extract((name) => (call.metadata as Metadata).get(name)[0])
}

/** `/package.Service/Method` -> `package.Service` */
function serviceOf(path: string): string {
  return path.slice(1, path.lastIndexOf('/'))
}
