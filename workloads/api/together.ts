import { traced } from '../../lib/telemetry.ts'
import type { SpanKind } from '../../lib/tracing.ts'
import type { Job } from './job.ts'

/** A span in the trace of the first job, linked to the others'. */
export function together<T>(name: string, kind: SpanKind, jobs: readonly Job[], work: () => T): T {
  const [parent, ...links] = jobs.flatMap(({ trace }) => trace ?? [])
  return traced(name, { kind, parent, links: links.slice(0, 100) }, work)
}
