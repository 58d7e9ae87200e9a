import type { StreamRecord } from '../../lib/kafka/records.ts'
import type { InputRecord } from '../files/input-record.ts'
import { isVerdict, type ProcessedBatch } from './processor.ts'

/** What a process says of its flow. */
export interface Flow {
  readonly eventsPerSecond: number
  /** From records read to their verdicts, of the last batches; absent before the first. */
  readonly latencyMs?: { readonly median: number; readonly p95: number } | undefined
  /** Why events could not be read, most first. */
  readonly rejected: readonly RejectedBy[]
}

export interface RejectedBy {
  readonly reason: string
  readonly count: number
  /** The last of them: what is wrong with it, and how it begins; absent where it is not told. */
  readonly message?: string | undefined
  readonly example?: string | undefined
}

/** How fast events go through, and what was refused, of the last seconds. */
export interface FlowMeter {
  /** Looks at a batch at once; what it answers with is called when the batch takes effect. */
  observe(processed: ProcessedBatch): () => void
  readonly flow: Flow
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
      const events = outcomes.length
      const refused: Omit<RejectedBy, 'count'>[] = []
      for (const [i, outcome] of outcomes.entries()) {
        if (isVerdict(outcome)) continue
        const { reason, message } = outcome
        refused.push({ reason, message, example: exampleOf(batch.records[i]!) })
      }
      return () => {
        batches.push({ at: clock(), events, took: took ?? 0 })
        if (batches.length > mostBatches) batches.shift()
        for (const one of refused)
          rejected.set(one.reason, { ...one, count: (rejected.get(one.reason)?.count ?? 0) + 1 })
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
function exampleOf(record: StreamRecord): string {
  const { value } = record
  const { body } = record as Partial<InputRecord>
  try {
    const text = typeof value === 'object' ? value?.subarray(0, longestExample) : value
    return String(text ?? JSON.stringify(body ?? null)).slice(0, longestExample)
  } catch {
    return ''
  }
}
