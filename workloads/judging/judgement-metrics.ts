import type { Metrics } from '../../lib/metrics.ts'
import { traceFields } from '../../lib/tracing.ts'
import type { Episode } from '../detection/episode.ts'
import { isVerdict, type ProcessedBatch } from './processor.ts'

export interface JudgementMetricsOptions {
  readonly metrics: Metrics
  /** Monotonic time in ms: the processor's. */
  readonly clock: () => number
  readonly modelVersion: () => string
}

/**
 * An observer of batches that counts what came of them when they take effect. It looks at once and keeps the counts only:
 * what a batch holds on to until it is committed costs the garbage collector most. An event that came with its verdict is
 * counted, since it was not before; its time was measured where the verdict was given.
 */
export function judgementMetrics({ metrics, clock, modelVersion }: JudgementMetricsOptions) {
  return ({ outcomes, episodes, late, began, given }: ProcessedBatch): (() => void) => {
    let anomaly = 0
    let normal = 0
    const reasons: string[] = []
    for (const outcome of outcomes) {
      if (!isVerdict(outcome)) reasons.push(outcome.reason)
      else if (outcome.isAnomaly) anomaly++
      else normal++
    }
    const opened = openedOf(episodes)
    const { traceId } = traceFields()
    return () => {
      metrics.countBatch()
      metrics.countEpisodes(opened)
      metrics.countLate(late)
      for (const reason of reasons) metrics.countRejection(reason)
      metrics.countVerdicts({ anomaly, normal })
      const judged = anomaly + normal - given
      if (judged > 0 && began !== undefined) {
        const seconds = (clock() - began) / 1000
        metrics.detectionSeconds.observe(seconds, judged, traceId)
      }
      metrics.setModel(modelVersion())
    }
  }
}

/** Fewer than none where episodes of keys became part of one of the stream. */
function openedOf(episodes: readonly Episode[]): number {
  let opened = 0
  for (const { change, partOf } of episodes) {
    if (change === 'Opened') opened++
    if (partOf !== undefined) opened--
  }
  return opened
}
