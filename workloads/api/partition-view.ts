import { AppError } from '../../lib/errors.ts'
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
  readonly store: Pick<PartitionStore, 'loadPartition' | 'loadKeys'>
  /** How old the state that keys share may be, in ms. */
  readonly maxAgeMs?: number | undefined
  /** Monotonic time in ms. */
  readonly clock: () => number
}

/** A key's stored payload, undefined where there is none; undefined as a whole where the store could not be read. */
export type KeyStates = ReadonlyMap<string, Uint8Array | undefined> | undefined

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

  /** Reads the keys' states, and what they share where that is too old. */
  async read(keys: readonly string[]): Promise<KeyStates> {
    const { store, partition, clock, maxAgeMs = 1000 } = this.#options
    const now = clock()
    try {
      const [payloads, shared] = await Promise.all([
        store.loadKeys(partition, keys),
        now - this.#readAt < maxAgeMs ? undefined : store.loadPartition(partition),
      ])
      if (now - this.#readAt >= maxAgeMs) this.#readAt = now
      if (shared !== undefined) this.#adopt(shared)
      return new Map(keys.map((key, i) => [key, payloads[i]]))
    } catch (error) {
      if (error instanceof AppError && error.retriable) return undefined
      throw error
    }
  }

  /**
   * The events' verdicts, as if they were the next of the partition. `score` answers with undefined where no model does.
   */
  async judge(
    events: readonly Event[],
    states: KeyStates,
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
