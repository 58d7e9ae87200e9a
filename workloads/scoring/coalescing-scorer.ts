import type { RowExplanation, ScoredRows } from '../detection/scored-rows.ts'
import { joined as joinedTimes, type TimeSpan } from '../detection/time-span.ts'
import type { RowBatch, Scorer } from './scorer.ts'

export interface CoalescingScorerOptions {
  /** Rows of one call at most, but for a batch that alone has more. */
  readonly maxRows?: number | undefined
}

interface Waiting {
  readonly batch: RowBatch
  readonly resolve: (scored: ScoredRows) => void
  readonly reject: (reason: unknown) => void
}

/**
 * Makes one call of the batches of many concurrent callers: those that come in one turn of the event loop, and those
 * that come while a call is under way. A caller who gives up leaves the others' call alone.
 */
export function coalescingScorer(scorer: Scorer, { maxRows = 4096 }: CoalescingScorerOptions = {}): Scorer {
  const waiting = new Set<Waiting>()
  let calling = false

  function next(): Waiting[] {
    const taken: Waiting[] = []
    let rows = 0
    for (const one of waiting) {
      rows += one.batch.count
      if (taken.length > 0 && rows > maxRows) break
      waiting.delete(one)
      taken.push(one)
    }
    return taken
  }

  async function call(): Promise<void> {
    while (waiting.size > 0) {
      const taken = next()
      try {
        const scored = await scorer.score(joined(taken.map(({ batch }) => batch)))
        let from = 0
        for (const { batch, resolve } of taken) {
          resolve(taken.length === 1 ? scored : partOf(scored, from, from + batch.count))
          from += batch.count
        }
      } catch (error) {
        for (const { reject } of taken) reject(error)
      }
    }
    calling = false
  }

  return {
    get modelVersion() {
      return scorer.modelVersion
    },
    score: (batch, { signal } = {}) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        const one: Waiting = { batch, resolve: settle(resolve), reject: settle(reject) }
        const giveUp = () => {
          waiting.delete(one)
          reject(signal!.reason)
        }
        function settle<T>(then: (value: T) => void) {
          return (value: T) => {
            signal?.removeEventListener('abort', giveUp)
            then(value)
          }
        }
        signal?.addEventListener('abort', giveUp, { once: true })
        waiting.add(one)
        if (calling) return
        calling = true
        setImmediate(call)
      }),
  }
}

/** One batch of all rows in order, with the columns of the widest: the others' are a prefix of them. */
function joined(batches: readonly RowBatch[]): RowBatch {
  const [first] = batches
  if (first !== undefined && batches.length === 1) return first
  const { columns } = batches.reduce((one, other) => (other.columns.length > one.columns.length ? other : one))
  const width = columns.length
  const count = batches.reduce((sum, batch) => sum + batch.count, 0)
  const rows = new Float64Array(count * width).fill(Number.NaN)
  const keyIds = batches.every((batch) => batch.keyIds !== undefined) ? new Uint32Array(count) : undefined
  let to = 0
  let from = 0
  for (const batch of batches) {
    keyIds?.set(batch.keyIds!.subarray(0, batch.count), from)
    from += batch.count
    const own = batch.columns.length
    for (let row = 0; row < batch.count; row++, to += width)
      rows.set(batch.rows.subarray(row * own, (row + 1) * own), to)
  }
  const explainFrom = Math.min(...batches.map((batch) => batch.explainFrom))
  const times = batches.reduce<TimeSpan | undefined>((span, batch) => joinedTimes(span, batch.times), undefined)
  return { columns, rows, count, explainFrom, ...(times && { times }), ...(keyIds !== undefined && { keyIds }) }
}

function partOf(scored: ScoredRows, from: number, to: number): ScoredRows {
  const explanations = new Map<number, readonly RowExplanation[]>()
  for (const [row, reasons] of scored.explanations) if (row >= from && row < to) explanations.set(row - from, reasons)
  return {
    modelVersionOf: (row) => scored.modelVersionOf(from + row),
    surprisals: scored.surprisals.map((ofDetector) => ofDetector.subarray(from, to)),
    explanations,
  }
}
