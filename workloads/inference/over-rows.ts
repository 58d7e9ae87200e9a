import { type handleUnaryCall, type Metadata, type ServerUnaryCall, status } from '@grpc/grpc-js'
import { extract, traced } from '../../lib/telemetry.ts'
import type { TraceHeaders } from '../../lib/tracing.ts'
import type { InferenceMetrics } from './inference-metrics.ts'
import type { Load, RowQueue } from './row-queue.ts'
import { RpcError, rpcErrorOf } from './rpc-error.ts'

export interface RowCalls {
  readonly queue: RowQueue
  readonly metrics: InferenceMetrics
  /** @throws RpcError where nothing can be scored yet */
  readonly requireReady: () => void
}

/** A unary method over rows: nothing is done for a caller who has gone or whose deadline has passed. */
export function overRows<Request, Response>(
  { queue, metrics, requireReady }: RowCalls,
  method: string,
  loadOf: (request: Request) => Load,
  work: (request: Request, arrived: number, caller: string) => Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const arrived = performance.now()
    const deadline = new Date(call.getDeadline()).getTime()
    const isWanted = () => !call.cancelled && !(Date.now() >= deadline)
    const answered = traced(method, { kind: 'server', parent: traceOf(call) }, async () => {
      requireReady()
      const load = loadOf(call.request)
      const response = await queue.run(load, isWanted, () => work(call.request, arrived, hostOf(call.getPeer())))
      if (response === undefined) throw new RpcError(status.CANCELLED, 'nobody waits for the answer any more')
      metrics.scored(load.rows, performance.now() - arrived)
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

/** The address without the port, which is another with every connection. */
export function hostOf(peer: string): string {
  return peer.replace(/:\d+$/, '')
}

function traceOf(call: ServerUnaryCall<unknown, unknown>): TraceHeaders | undefined {
  return extract((name) => (call.metadata as Metadata).get(name)[0])
}
