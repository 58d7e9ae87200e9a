import type { Metrics } from '../../lib/metrics.ts'
import type { LivePipeline } from '../../lib/pipeline/live-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import type { Verdict } from '../detection/verdict.ts'
import { type KeyStates, PartitionView } from '../judging/partition-view.ts'
import { RiskReader } from '../judging/risk-reader.ts'
import { coalescingScorer } from '../scoring/coalescing-scorer.ts'
import type { RowBatch, Scorer } from '../scoring/scorer.ts'
import { degradeWithoutStore, type PartitionStore } from '../state/state.ts'
import type { FeatureNames } from './feature-names.ts'

export interface EventJudgeOptions {
  readonly pipeline: Pipeline
  readonly live?: LivePipeline | undefined
  readonly partitions: Pick<PartitionStore, 'loadKeysOf' | 'loadPartition' | 'loadPartials' | 'riskySince'>
  readonly scorer: Scorer
  readonly names: Pick<FeatureNames, 'schema'>
  readonly metrics: Pick<Metrics, 'stateLookups'>
  /** Monotonic time in ms. */
  readonly clock: () => number
}

/** Verdicts of one partition's events, in order. */
export type JudgeEvents = (partition: number, events: readonly Event[]) => Promise<readonly Verdict[]>

export interface EventJudge {
  readonly modelVersion: string
  /**
   * Reads what was learnt of the keys of these events, by partition, in one call, and of their secondary keys. Events are
   * then judged by it, each partition's once: one reading at a time.
   */
  reading(eventsOf: ReadonlyMap<number, readonly Event[]>): Promise<JudgeEvents>
}

/** Judges events by what the consumers have learnt and by the inference service, and learns nothing. */
export function createEventJudge(options: EventJudgeOptions): EventJudge {
  const { pipeline, live, partitions, names, metrics, clock } = options
  const scorer = coalescingScorer(options.scorer)
  const risks = new RiskReader({ store: partitions, clock })
  let current: { readonly schema: FeatureSchema; readonly views: Map<number, PartitionView> } | undefined

  function viewOf(partition: number): PartitionView {
    const { schema } = names
    if (current?.schema !== schema) current = { schema, views: new Map() }
    let view = current.views.get(partition)
    if (view === undefined) {
      view = new PartitionView({ pipeline, live, partition, schema, store: partitions, clock })
      current.views.set(partition, view)
    }
    return view
  }

  /** The keys' stored states by partition, and what the keys share brought up to date; undefined without the store. */
  async function statesOf(
    eventsOf: ReadonlyMap<number, readonly Event[]>,
    views: ReadonlyMap<number, PartitionView>,
  ): Promise<ReadonlyMap<number, KeyStates> | undefined> {
    const wanted = Array.from(
      eventsOf,
      ([partition, events]) => [partition, [...new Set(events.map(({ key }) => key))]] as const,
    )
    const count = wanted.reduce((sum, [, keys]) => sum + keys.length, 0)
    metrics.stateLookups.inc({ outcome: 'miss' }, count)
    const refreshed = Promise.all(
      Array.from(views, ([partition, view]) =>
        Promise.all([view.refresh(), view.risks && risks.read(view.risks, eventsOf.get(partition)!)]),
      ),
    )
    const found = await Promise.all([partitions.loadKeysOf(wanted), refreshed]).catch(degradeWithoutStore)
    if (found === undefined) return undefined
    const [payloads] = found
    return new Map(
      wanted.map(([partition, keys], p) => [partition, new Map(keys.map((key, i) => [key, payloads[p]![i]]))]),
    )
  }

  async function score(batch: RowBatch): Promise<ScoredRows | undefined> {
    try {
      return await scorer.score(batch)
    } catch (error) {
      if (pipeline.spec.detection.onModelUnavailable === 'Degrade') return undefined
      throw error
    }
  }

  return {
    get modelVersion() {
      return scorer.modelVersion
    },
    async reading(eventsOf) {
      const views = new Map(Array.from(eventsOf.keys(), (partition) => [partition, viewOf(partition)]))
      const states = await statesOf(eventsOf, views)
      return (partition, events) => views.get(partition)!.judge(events, states?.get(partition), score)
    },
  }
}
