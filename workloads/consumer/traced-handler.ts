import { extract, traced } from '../../lib/telemetry.ts'
import type { TraceHeaders } from '../../lib/tracing.ts'
import type { StreamHandler } from '../streams/stream.ts'

/** The same handler; a batch's work continues the trace of its first record, the others are linked. */
export function tracedHandler(handler: StreamHandler): StreamHandler {
  return {
    assigned: (partition) => handler.assigned(partition),
    batch: (batch, signal) => {
      const traces: TraceHeaders[] = []
      for (const { headers } of batch.records) {
        const trace = headers?.traceparent === undefined ? undefined : extract((name) => headers[name])
        if (trace !== undefined) traces.push(trace)
      }
      const [parent, ...links] = traces
      return traced('consume batch', { kind: 'consumer', parent, links: links.slice(0, 100) }, () =>
        handler.batch(batch, signal),
      )
    },
    committed: (partition) => handler.committed(partition),
    dropped: (partition) => handler.dropped(partition),
    releasing: (partitions) => handler.releasing(partitions),
    revoked: (partition) => handler.revoked(partition),
  }
}
