import type { DetectionSpec, Pipeline } from '../../lib/pipeline/spec.ts'
import { Detection, type ObservedBatch } from '../detection/detection.ts'
import type { Surprisal } from '../detection/detector.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import type { Feedback } from '../detection/feedback.ts'
import { OpenEpisodes } from '../detection/open-episodes.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import type { SecondaryRisks } from '../detection/secondary-risks.ts'
import { sourceIdOf } from '../detection/text-hash.ts'
import type { Degradation, Verdict } from '../detection/verdict.ts'
import { KeyTable } from './key-table.ts'
import { StateBytes } from './state-bytes.ts'
import { Undo } from './undo.ts'

/** Memory for the state of keys where nobody says how much, in bytes. */
export const defaultStateBytes = 2 ** 30
/** More keys than two batches have. */
const leastKeys = 4096
/** Of a key in the table, beside what detectors remember. */
const tableBytesPerKey = 130

/** Of the memory for keys, what the values of secondary keys may have; and what one takes. */
const shareOfRisks = 0.25
const bytesPerRisk = 650

const noPartials: ReadonlyMap<string, boolean> = new Map()

/** What a commit changed for good. */
export interface Changes {
  readonly keys: readonly string[]
  /** Names of values of secondary keys, and whether their partials are risky. */
  readonly partials: ReadonlyMap<string, boolean>
}

export interface PartitionOptions {
  readonly schema: FeatureSchema
  /** Memory for the state of keys, in bytes; the keys unused for longest are forgotten beyond it. 1 GiB if absent. */
  readonly stateBytes?: number | undefined
  /** Whether batches can be undone until they are committed. */
  readonly staged?: boolean | undefined
  /** Called before a key is forgotten for want of memory. */
  readonly onEvict?: ((key: string) => void) | undefined
}

/**
 * What a partition has learnt: the memory of its keys, which of them it keeps, and how to undo what is not committed.
 * Its batches are observed and decided in turn.
 */
export class Partition {
  /** To be told of the verdicts as they are published. */
  readonly episodes: OpenEpisodes
  readonly #detection: Detection
  readonly #keys: KeyTable
  readonly #state: StateBytes
  readonly #undo: Undo | undefined
  readonly #onEvict: ((key: string) => void) | undefined
  #stateBytes: number
  #bytesPerKey = 0
  #using: DetectionSpec
  #slots = new Int32Array(0)
  #isLoaded = false
  /** Between being observed and being decided, a batch needs its keys where they are. */
  #isObserved = false

  constructor(pipeline: Pipeline, options: PartitionOptions) {
    this.#detection = new Detection(pipeline, options.schema)
    this.#using = pipeline.spec.detection
    this.episodes = new OpenEpisodes(pipeline.spec.detection)
    this.#state = new StateBytes(this.#detection, this.episodes)
    this.#undo = options.staged === true ? new Undo(this.#state) : undefined
    this.#stateBytes = options.stateBytes ?? defaultStateBytes
    this.#onEvict = options.onEvict
    this.#keys = new KeyTable(this.#roomForKeys())
  }

  /** Keys whose state is in memory. */
  get keys(): number {
    return this.#keys.size
  }

  /** Of the values of secondary keys, where the pipeline has any. */
  get risks(): SecondaryRisks | undefined {
    return this.#detection.risks
  }

  /** No batch was committed since it was loaded: it may be older than its place in the stream. */
  get isLoaded(): boolean {
    return this.#isLoaded
  }

  /** Names of the detectors that need a model, in the order in which scored rows hold their surprisals. */
  get modelNames(): readonly string[] {
    return this.#detection.modelNames
  }

  /** Row surprisals from here on are worth an explanation by the model. */
  get explainFrom(): Surprisal {
    return this.#detection.explainFrom
  }

  /** Decides by this document's rules, budget or threshold and refractory period from the next batch on. Cheap where they are the same object. */
  use(detection: DetectionSpec): void {
    if (detection === this.#using) return
    this.#using = detection
    this.#detection.use(detection)
    this.episodes.use(detection)
  }

  /** Whether an event of that time is in a calendar of the document. */
  isInCalendar(time: number): boolean {
    return this.#detection.isInCalendar(time)
  }

  /** Scores events against their keys' histories, learns them, and lays out their rows for the model. */
  observe(events: readonly Event[]): ObservedBatch {
    if (this.#slots.length < events.length) this.#slots = new Int32Array(events.length)
    const keyIds = new Uint32Array(events.length)
    this.#begin()
    for (let i = 0; i < events.length; i++) {
      const { key } = events[i]!
      const slot = this.#keys.find(key)
      this.#undo?.stage(key, slot)
      this.#slots[i] = slot < 0 ? this.#insert(key) : slot
      keyIds[i] = sourceIdOf(this.#keys.hashAt(this.#slots[i]!))
    }
    const observed = this.#detection.observe(events, this.#slots)
    if (this.#detection.bytesPerKey > this.#bytesPerKey) this.#limitKeys()
    this.#isObserved = true
    return { ...observed, keyIds }
  }

  /** The verdicts of the batch last observed, in order; without `scored` where the model did not answer. */
  decide(batch: ObservedBatch, scored: ScoredRows | undefined, degraded?: Degradation): Verdict[] {
    this.#isObserved = false
    return this.#detection.decide(batch, scored, degraded)
  }

  /** Learns what was said of an event. Like a batch, it takes effect with the next commit. */
  learn(feedback: Feedback): void {
    const { key } = feedback
    const slot = this.#keys.find(key)
    this.#begin()
    this.#undo?.stage(key, slot)
    this.#detection.learn(slot < 0 ? this.#insert(key) : slot, feedback)
  }

  /**
   * The verdicts of events, as if they were the next, and nothing learnt from them. Only what they spend of the alert
   * budget is remembered, until `loadPartition` tells of another block. For partitions that are staged, between commits.
   */
  async preview(
    events: readonly Event[],
    score: (batch: ObservedBatch) => Promise<ScoredRows | undefined>,
    degraded?: Degradation,
  ): Promise<readonly Verdict[]> {
    let spent = this.#detection.spent
    try {
      const observed = this.observe(events)
      const scored = this.modelNames.length === 0 ? undefined : await score(observed)
      const verdicts = this.decide(observed, scored, degraded)
      spent = this.#detection.spent
      return verdicts
    } finally {
      this.rollback()
      this.#detection.spendAtLeast(spent.alerts)
    }
  }

  /** Keys of the events whose state is not in memory, each once. The others are not forgotten before they are used. */
  missingKeys(events: readonly Pick<Event, 'key'>[]): readonly string[] {
    const missing = new Set<string>()
    for (const { key } of events) if (this.#keys.find(key) < 0) missing.add(key)
    return [...missing]
  }

  forget(key: string): void {
    this.#keys.delete(key)
  }

  /** Another bound of the memory for keys, in bytes. Where a batch is observed and not decided, it holds from the next call on. */
  limitState(bytes: number): void {
    this.#stateBytes = bytes
    if (this.#isObserved) return
    this.#limitKeys()
    if (this.#keys.slots <= this.#keys.capacity) return
    const memory = new DataView(new ArrayBuffer(this.#state.slotBytes))
    this.#keys.compact((from, to) => {
      this.#state.writeSlot(from, memory, 0)
      this.#state.readSlot(to, memory)
    })
    for (const one of this.#detection.memories) one.trim(this.#keys.slots)
  }

  /** Takes in the stored memory of a key that is not in memory. False: it is of other detectors, and was left aside. */
  adopt(key: string, payload: Uint8Array): boolean {
    const slot = this.#insert(key)
    try {
      this.#state.readSlot(slot, new DataView(payload.buffer, payload.byteOffset, payload.byteLength))
      return true
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.#reset(slot)
      return false
    }
  }

  /** What was observed since the last commit is for good. Answers with what it changed. */
  commit(): Changes {
    const keys = [...(this.#undo?.keys.keys() ?? [])]
    if (this.#undo?.hasBegun === true) this.#isLoaded = false
    this.#undo?.clear()
    return { keys, partials: this.risks?.commit() ?? noPartials }
  }

  /** Undoes all that was observed and decided since the last commit. */
  rollback(): void {
    this.#isObserved = false
    this.risks?.rollback()
    this.#undo?.restore(
      (key) => this.#keys.peek(key),
      (key) => this.#keys.delete(key),
    )
  }

  /** Every key in memory, from the most to the least recently used. */
  keysInMemory(): Iterable<string> {
    return this.#keys.keys()
  }

  /** A key's memory; undefined for a key that is not in memory. */
  saveKey(key: string): Uint8Array<ArrayBuffer> | undefined {
    const slot = this.#keys.peek(key)
    if (slot < 0) return undefined
    const bytes = new Uint8Array(this.#state.slotBytes)
    this.#state.writeSlot(slot, new DataView(bytes.buffer), 0)
    return bytes
  }

  /** What the keys of the partition share: threshold, calibration, and what detectors learnt from all keys. */
  savePartition(): Uint8Array<ArrayBuffer> {
    return this.#state.writeShared()
  }

  /** Reads what `savePartition` wrote. False: it is of other detectors or damaged, and was left aside. */
  loadPartition(bytes: Uint8Array): boolean {
    const before = this.#state.writeShared()
    const { events, alerts } = this.#detection.spent
    try {
      this.#state.readShared(bytes)
      this.#isLoaded = true
      // What was spent since the bytes were written is still spent, until the block is over.
      if (this.#detection.spent.events >= events) this.#detection.spendAtLeast(alerts)
      return true
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.#state.readShared(before)
      return false
    }
  }

  #begin(): void {
    if (this.#undo === undefined) return
    this.#undo.begin()
    this.risks?.begin()
  }

  #insert(key: string): number {
    const evicted = this.#onEvict === undefined ? undefined : this.#keys.nextEvicted
    if (evicted !== undefined) this.#onEvict!(evicted)
    const slot = this.#keys.insert(key)
    this.#reset(slot)
    return slot
  }

  #reset(slot: number): void {
    for (const memory of this.#detection.memories) memory.reset(slot)
  }

  /** Keys that memory has room for, as wide as they are by now; what may still be undone is not forgotten. */
  #roomForKeys(): number {
    const { bytesPerKey, risks } = this.#detection
    this.#bytesPerKey = bytesPerKey
    const forRisks = risks === undefined ? 0 : shareOfRisks * this.#stateBytes
    // A table of values has at most twice as many as are remembered.
    risks?.limit(Math.max(leastKeys, Math.floor(forRisks / (2 * risks.secondaryKeys * bytesPerRisk))))
    const room = Math.floor((this.#stateBytes - forRisks) / (tableBytesPerKey + bytesPerKey))
    return Math.max(leastKeys + (this.#undo?.keys.size ?? 0), room)
  }

  #limitKeys(): void {
    this.#keys.capacity = this.#roomForKeys()
    while (this.#keys.size > this.#keys.capacity) {
      const evicted = this.#keys.nextEvicted!
      this.#onEvict?.(evicted)
      this.#keys.delete(evicted)
    }
  }
}
