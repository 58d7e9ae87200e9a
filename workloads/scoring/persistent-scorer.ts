import type { GrpcScorer } from './grpc.ts'

/**
 * While scoring fails, asks again every second without rows: a process that is not ready gets no requests, and nobody
 * would notice that it could be.
 */
export function persistentScorer(scorer: GrpcScorer, everyMs = 1000): GrpcScorer {
  let columns: readonly string[] | undefined
  let timer: NodeJS.Timeout | undefined

  function ask(): void {
    if (columns === undefined || scorer.problem() === undefined) return
    scorer.score({ columns, rows: new Float64Array(0), count: 0, explainFrom: 0 }).catch(() => {})
  }

  return {
    name: scorer.name,
    get modelVersion() {
      return scorer.modelVersion
    },
    problem: () => scorer.problem(),
    score(batch, options) {
      columns = batch.columns
      return scorer.score(batch, options)
    },
    async start(signal) {
      await scorer.start?.(signal)
      timer = setInterval(ask, everyMs)
      timer.unref()
    },
    stop() {
      clearInterval(timer)
      scorer.stop()
    },
  }
}
