import { type handleServerStreamingCall, type handleUnaryCall, type ServerWritableStream, status } from '@grpc/grpc-js'
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Serving,
} from '../gen/grpc/health/v1/health.ts'

export interface HealthService {
  readonly check: handleUnaryCall<HealthCheckRequest, HealthCheckResponse>
  readonly watch: handleServerStreamingCall<HealthCheckRequest, HealthCheckResponse>
  /** Tells those who watch what has changed. */
  update(): void
  /** Ends every watch: a server with open streams cannot shut down. */
  close(): void
}

type Watcher = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>

/** `grpc.health.v1`: the server as a whole ('') and its services serve or not as one. */
export function createHealthService(services: readonly string[], isServing: () => boolean): HealthService {
  const known = new Set(['', ...services])
  const watchers = new Map<Watcher, Serving>()
  const current = () => (isServing() ? Serving.SERVING : Serving.NOT_SERVING)

  function tell(watcher: Watcher): void {
    const next = known.has(watcher.request.service) ? current() : Serving.SERVICE_UNKNOWN
    if (watchers.get(watcher) === next) return
    watchers.set(watcher, next)
    watcher.write({ status: next })
  }

  return {
    check({ request }, callback) {
      if (known.has(request.service)) callback(null, { status: current() })
      else callback({ code: status.NOT_FOUND, details: `there is no service ${request.service} here` })
    },
    watch(call) {
      call.on('cancelled', () => watchers.delete(call))
      tell(call)
    },
    update() {
      for (const watcher of watchers.keys()) tell(watcher)
    },
    close() {
      for (const watcher of watchers.keys()) watcher.end()
      watchers.clear()
    },
  }
}
