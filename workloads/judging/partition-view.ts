import type { LivePipeline } from '../../lib/pipeline/live-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import type { SecondaryRisks } from '../detection/secondary-risks.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { RowBatch } from '../scoring/scorer.ts'
import type { PartitionStore } from '../state/state.ts'
import { Partition } from './partition.ts'

export interface PartitionViewOptions {
  readonly pipeline: Pipeline
  readonly live?: LivePipeline | undefined
  readonly partition: number
  readonly schema: FeatureSchema
  readonly store: Pick<PartitionStore, 'loadPartition'>
  /** How old the state that keys share may be, in ms. */
  readonly maxAgeMs?: number | undefined
  /** Monotonic time in ms. */
  readonly clock: () => number
}

/** A key's stored payload, undefined where there is none. */
export type KeyStates = ReadonlyMap<string, Uint8Array | undefined>

/**
 * A partition's state as its owner last wrote it, to judge events by without learning them. One batch at a time.
 */
export class PartitionView {
  readonly #options: PartitionViewOptions
  readonly #memory: Partition
  #readAt = Number.NEGATIVE_INFINITY

  constructor(options: PartitionViewOptions) {
    this.#options = options
    this.#memory = new Partition(options.pipeline, { schema: options.schema, stateBytes: 1, staged: true })
  }

  /** Of the values of secondary keys, where the pipeline has any: none of it is the view's own. */
  get risks(): SecondaryRisks | undefined {
    return this.#memory.risks
  }

  /** Reads what the keys share where it is too old; not while a batch is judged. */
  async refresh(): Promise<void> {
    const { store, partition, clock, maxAgeMs = 1000 } = this.#options
    const now = clock()
    if (now - this.#readAt < maxAgeMs) return
    const shared = await store.loadPartition(partition)
    this.#readAt = now
    // What is of other detectors, or torn, is left aside.
    if (shared !== undefined) this.#memory.loadPartition(shared)
  }

  /**
   * The events' verdicts, as if they were the next of the partition; without `states` the store could not be read.
   * `score` answers with undefined where no model does.
   */
  async judge(
    events: readonly Event[],
    states: KeyStates | undefined,
    score: (batch: RowBatch) => Promise<ScoredRows | undefined>,
  ): Promise<readonly Verdict[]> {
    const memory = this.#memory
    const { live } = this.#options
    if (live !== undefined) memory.use(live.detection)
    const keys = new Set(events.map(({ key }) => key))
    try {
      for (const key of keys) {
        const payload = states?.get(key)
        if (payload !== undefined) memory.adopt(key, payload)
      }
      const degraded = states === undefined ? 'StateUnavailable' : undefined
      return await memory.preview(
        events,
        ({ rows, columns, keyIds }) =>
          score({ rows, columns, keyIds, count: events.length, explainFrom: memory.explainFrom }),
        degraded,
      )
    } finally {
      for (const key of keys) memory.forget(key)
    }
  }
}
