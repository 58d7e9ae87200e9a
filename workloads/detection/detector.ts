import type { Event } from './event.ts'
import type { Evidence } from './evidence.ts'

/**
 * Surprisal, in nats: -ln of the probability that a normal event looks like this or worse. 0 = ordinary,
 * 6.9 = one in a thousand. Every detector answers in this unit, so that answers can be averaged.
 */
export type Surprisal = number

/** A memory of each key, held in slots: slot s belongs to one key at a time. It grows when a slot beyond it is reset. */
export interface SlotMemory {
  /** Length of what `save` writes for a key, in bytes; also what a key costs in memory. */
  readonly bytesPerKey: number
  /** The key's slot starts without history. */
  reset(slot: number): void
  /** Writes the key's memory at `offset`: `bytesPerKey` bytes, little-endian. */
  save(slot: number, into: DataView, offset: number): void
  /**
   * Reads what `save` wrote, `length` bytes at `offset`, into a slot that was reset.
   * @throws RangeError where that cannot be a key's memory
   */
  load(slot: number, from: DataView, offset: number, length: number): void
  /** Gives up the memory of slots from `slots` on. */
  trim(slots: number): void
}

/** A detector that keeps a memory of each key. Not re-entrant; one owner (a partition) calls it. */
export interface KeyedDetector extends SlotMemory {
  /** Name in the pipeline document. */
  readonly name: string
  /** What `save` writes and its version: memories of another layout are left aside. */
  readonly layout: string
  /** After an alert, the number of the key's own events that belong to the same episode; 0 where only time counts. */
  readonly refractoryEvents: number
  /**
   * Scores the event against what the slot's key showed before it, then learns it. `evidence` receives the fields that
   * contributed, as far as the detector can name them.
   */
  observe(slot: number, event: Event, evidence: Evidence): Surprisal
  /** Takes note that the key had an event that is not learnt. */
  pass?(slot: number, event: Event): void
  /** Reads what the first version wrote, where that was another layout. */
  readonly former?: FormerMemory
  /** What all keys share, if anything. */
  readonly shared?: SharedMemory
}

/** How to read a memory of another layout. */
export interface FormerMemory {
  /** Reads a key's memory after the shared one was read. @throws RangeError where that cannot be it */
  load(slot: number, from: DataView, offset: number, length: number): void
  /** @throws RangeError where that cannot be it */
  loadShared(bytes: Uint8Array): void
}

/** What was learnt from all keys. */
export interface SharedMemory {
  save(): Uint8Array
  /** Reads what `save` wrote. @throws RangeError where that cannot be it */
  load(bytes: Uint8Array): void
}
