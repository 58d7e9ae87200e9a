import type { InputRecord } from '../files/input-record.ts'
import { isVerdict, type ProcessedBatch } from '../judging/processor.ts'
import type { Overview, RejectedBy } from '../rest/overview.ts'

/** How fast events go through, and what was refused, of the last seconds. */
export interface FlowMeter {
  observe(processed: ProcessedBatch): void
  readonly flow: Pick<Overview, 'eventsPerSecond' | 'latencyMs' | 'rejected'>
}

const windowMs = 10_000
const mostBatches = 500
const longestExample = 500

/** @param clock monotonic, in ms */
export function createFlowMeter(clock: () => number): FlowMeter {
  const batches: { readonly at: number; readonly events: number; readonly took: number }[] = []
  const rejected = new Map<string, RejectedBy>()
  const began = clock()
  return {
    observe({ batch, outcomes, took }) {
      batches.push({ at: clock(), events: outcomes.length, took: took ?? 0 })
      if (batches.length > mostBatches) batches.shift()
      for (const [i, outcome] of outcomes.entries()) {
        if (isVerdict(outcome)) continue
        const { reason, message } = outcome
        const count = (rejected.get(reason)?.count ?? 0) + 1
        rejected.set(reason, { reason, count, message, example: exampleOf(batch.records[i] as InputRecord) })
      }
    },
    get flow() {
      const now = clock()
      const recent = batches.filter(({ at }) => now - at < windowMs)
      const first = batches.length === mostBatches && recent.length === mostBatches ? recent[0]!.at : now - windowMs
      const seconds = Math.max(1, now - Math.max(first, began)) / 1000
      const took = recent.map((one) => one.took).sort((a, b) => a - b)
      const at = (share: number) => took[Math.floor(share * (took.length - 1))]!
      return {
        eventsPerSecond: recent.reduce((sum, { events }) => sum + events, 0) / seconds,
        latencyMs: took.length === 0 ? undefined : { median: at(0.5), p95: at(0.95) },
        rejected: [...rejected.values()].sort((a, b) => b.count - a.count),
      }
    },
  }
}

/** As it came; nothing of an event that cannot be written down, for whatever it was refused. */
function exampleOf({ value, body }: InputRecord): string {
  try {
    return (value ?? JSON.stringify(body ?? null)).slice(0, longestExample)
  } catch {
    return ''
  }
}
