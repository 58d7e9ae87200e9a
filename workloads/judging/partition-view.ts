import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { Detection } from '../detection/detection.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { RowBatch } from '../scoring/scorer.ts'
import type { PartitionStore } from '../state/state.ts'

export interface PartitionViewOptions {
  readonly pipeline: Pipeline
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
  readonly #detection: Detection
  /** What the partition's keys share: to be restored after every batch. */
  #shared: Uint8Array
  #readAt = Number.NEGATIVE_INFINITY

  constructor(options: PartitionViewOptions) {
    this.#options = options
    this.#detection = new Detection(options.pipeline, { schema: options.schema, stateBytes: 1 })
    this.#shared = this.#detection.savePartition()
  }

  /** Reads what the keys share where it is too old; not while a batch is judged. */
  async refresh(): Promise<void> {
    const { store, partition, clock, maxAgeMs = 1000 } = this.#options
    const now = clock()
    if (now - this.#readAt < maxAgeMs) return
    const shared = await store.loadPartition(partition)
    this.#readAt = now
    if (shared !== undefined) this.#adopt(shared)
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
    const detection = this.#detection
    const keys = new Set(events.map(({ key }) => key))
    try {
      for (const key of keys) {
        const payload = states?.get(key)
        if (payload !== undefined) detection.adopt(key, payload)
      }
      const observed = detection.observe(events)
      const { rows, columns } = observed
      const batch = { rows, columns, count: events.length, explainFrom: detection.explainFrom }
      const scored = detection.modelNames.length === 0 ? undefined : await score(batch)
      return detection.decide(observed, scored, states === undefined ? 'StateUnavailable' : undefined)
    } finally {
      for (const key of keys) detection.forget(key)
      detection.loadPartition(this.#shared)
    }
  }

  /** Payloads of other detectors, or torn ones, are left aside. */
  #adopt(shared: Uint8Array): void {
    try {
      if (this.#detection.loadPartition(shared)) this.#shared = shared
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.#detection.loadPartition(this.#shared)
    }
  }
}
