import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import { defaultStateBytes, Partition } from './partition.ts'

/**
 * Owns what the partitions of this process have learnt. A partition is assigned, its batches begin and are committed or
 * dropped, and it is revoked in the end.
 */
export interface Partitions {
  /** Keys whose state is in memory, over all partitions. */
  readonly keys: number
  /** Episodes that are open, over all partitions. */
  readonly openEpisodes: number
  assigned(partition: number): Promise<void>
  /** The partition's memory; it may be another one with every batch that begins. */
  of(partition: number): Partition | undefined
  /** A batch begins: the states of its keys that memory lacks are read. False: some could not be. */
  begin(partition: number, events: readonly Pick<Event, 'key' | 'secondaryKeys'>[]): Promise<boolean>
  /** The batches since the last end are for good. `last` is each key's last event with features. */
  committed(partition: number, last: ReadonlyMap<string, Event>): void
  /** The batches since the last end come again. */
  dropped(partition: number): void
  /** Another process may own the partitions soon. */
  releasing(partitions: readonly number[]): Promise<void>
  revoked(partition: number): void
}

export interface MemoryPartitionsOptions {
  readonly pipeline: Pipeline
  readonly schema: FeatureSchema
  /** Memory for the state of all keys, in bytes; partitions share it evenly. 1 GiB if absent. */
  readonly stateBytes?: number | undefined
}

/** Partitions of a process that forgets them in the end. */
export class MemoryPartitions implements Partitions {
  readonly #options: MemoryPartitionsOptions
  readonly #partitions = new Map<number, Partition>()

  constructor(options: MemoryPartitionsOptions) {
    this.#options = options
  }

  get keys(): number {
    let keys = 0
    for (const partition of this.#partitions.values()) keys += partition.keys
    return keys
  }

  get openEpisodes(): number {
    let open = 0
    for (const { episodes } of this.#partitions.values()) open += episodes.size
    return open
  }

  async assigned(partition: number): Promise<void> {
    const { pipeline, schema } = this.#options
    this.#partitions.set(partition, new Partition(pipeline, { schema, staged: true }))
    for (const one of this.#partitions.values()) one.limitState(this.#stateBytesEach)
  }

  of(partition: number): Partition | undefined {
    return this.#partitions.get(partition)
  }

  async begin(partition: number): Promise<boolean> {
    this.#partitions.get(partition)!.limitState(this.#stateBytesEach)
    return true
  }

  committed(partition: number): void {
    this.#partitions.get(partition)?.commit()
  }

  dropped(partition: number): void {
    this.#partitions.get(partition)?.rollback()
  }

  async releasing(): Promise<void> {}

  revoked(partition: number): void {
    this.#partitions.delete(partition)
  }

  get #stateBytesEach(): number {
    return (this.#options.stateBytes ?? defaultStateBytes) / this.#partitions.size
  }
}
