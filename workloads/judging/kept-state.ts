import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { oldestOf } from '../../lib/oldest-of.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { traced } from '../../lib/telemetry.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import type { StateStore, TakenPartition } from '../state/state.ts'
import { WriteBehind } from '../state/write-behind.ts'
import { defaultStateBytes, Partition } from './partition.ts'
import type { Partitions } from './partitions.ts'
import { RiskReader } from './risk-reader.ts'

export interface KeptStateOptions {
  readonly pipeline: Pipeline
  readonly store: StateStore
  readonly schema: FeatureSchema
  readonly log: Logger
  /** Memory for the state of all keys, in bytes; partitions share it evenly. 1 GiB if absent. */
  readonly stateBytes?: number | undefined
  /** Milliseconds since 1970. */
  readonly wall: () => number
  /** Monotonic time in ms. */
  readonly clock?: (() => number) | undefined
  /** The last features of a key are written at most this often, in ms. */
  readonly featuresEveryMs?: number | undefined
  /** A newer owner holds the partition. */
  readonly onFenced: (partition: number) => void
  /** The store has lost what it had, or never had anything: what all partitions share must be written as well. */
  readonly onEmptied?: () => void
  /** A stored state is of other detectors or damaged, and was left aside. */
  readonly onForeign?: ((what: 'profile' | 'partition') => void) | undefined
  /** Told of each look at a key's state, once a key and batch. */
  readonly onLookups?: (outcome: 'hit' | 'miss', count: number) => void
}

/** Keys whose stored profile could not be read: what they learn meanwhile must not replace it. */
const maxBlindKeys = 200_000
/** So many of them are read again with each batch when the store is back. */
const blindKeysAtOnce = 1000
const retakeMs = 1000
/** How long a store that is slow, not away, may hold up the first batch of a partition. */
const takeMs = 3000
/** How far the clocks of this machine and of the store may be apart. */
const clockSkewMs = 5000

/** What this process knows of a partition's place in the store. */
interface Kept {
  memory: Partition
  /** undefined before the store has answered for the first time: nothing is written, and nothing has been read. */
  writeBehind: WriteBehind<Event> | undefined
  /** Epochs that the stored one may be: with any other, somebody else has written since memory was read. */
  readonly epochs: Set<number>
  /** Wall clock, in ms. */
  assignedAt: number
  /** Grows with every assignment; what was asked before is void. */
  turn: number
  readonly blind: Set<string>
  readonly oldestBlind: () => string | undefined
  /** Whether the epoch is this assignment's and the store has not been away since. */
  isTaken: boolean
  /** Not before this is a failed attempt to take the partition repeated; wall clock, in ms. */
  retakeAt: number
  /** Between the first batch of a transaction and its end. */
  isHeld: boolean
}

/**
 * The state of partitions behind a store: read when a partition is taken and when a key is met that memory lacks,
 * written behind. Without the store detection goes on from memory alone; when it is back, partitions are taken again:
 * memory stays and is written unless somebody else has written meanwhile.
 */
export class KeptState implements Partitions {
  readonly #options: KeptStateOptions
  readonly #partitions = new Map<number, Kept>()
  readonly #risks: RiskReader
  #watch: NodeJS.Timeout | undefined

  constructor(options: KeptStateOptions) {
    this.#options = options
    const { store, clock = () => performance.now() } = options
    this.#risks = new RiskReader({ store: store.partitions, clock })
  }

  get keys(): number {
    let keys = 0
    for (const { memory } of this.#partitions.values()) keys += memory.keys
    return keys
  }

  get openEpisodes(): number {
    let open = 0
    for (const { memory } of this.#partitions.values()) open += memory.episodes.size
    return open
  }

  of(partition: number): Partition | undefined {
    return this.#partitions.get(partition)?.memory
  }

  /** Takes the partition: memory stays where nobody else has written since, else it is what is stored. */
  async assigned(partition: number): Promise<void> {
    const blind = new Set<string>()
    const kept: Kept = this.#partitions.get(partition) ?? {
      memory: this.#memory(partition),
      writeBehind: undefined,
      epochs: new Set(),
      assignedAt: 0,
      turn: 0,
      blind,
      oldestBlind: oldestOf(blind),
      isTaken: false,
      retakeAt: 0,
      isHeld: false,
    }
    this.#partitions.set(partition, kept)
    this.#watch ??= setInterval(() => this.#lookAfter(), retakeMs).unref()
    kept.assignedAt = this.#options.wall()
    kept.turn++
    kept.isTaken = false
    try {
      this.#take(partition, kept, await this.#ask(partition))
    } catch (error) {
      if (!(error instanceof AppError && error.retriable)) throw error
      kept.retakeAt = this.#options.wall() + retakeMs
      this.#options.log.warn({ partition, error: error.message }, 'state cannot be read: detection goes on from memory')
    }
    for (const { memory } of this.#partitions.values()) memory.limitState(this.#stateBytesEach)
  }

  /**
   * A batch begins: nothing is written until it is over, and the states of its keys that memory lacks are read. False:
   * some could not be.
   */
  async begin(partition: number, events: readonly Pick<Event, 'key' | 'secondaryKeys'>[]): Promise<boolean> {
    const kept = this.#partitions.get(partition)!
    const { store, onLookups } = this.#options
    const isFirst = !kept.isHeld
    if (isFirst) await this.#retake(partition, kept)
    const { memory, writeBehind, blind } = kept
    memory.limitState(this.#stateBytesEach)
    kept.isHeld = true
    writeBehind?.hold()
    const missing = memory.missingKeys(events)
    const keys = new Set<string>()
    for (const { key } of events) keys.add(key)
    const wanted: string[] = []
    for (const key of missing) {
      const parked = writeBehind?.recall(key)
      if (parked === undefined) wanted.push(key)
      else memory.adopt(key, parked)
    }
    onLookups?.('hit', keys.size - wanted.length)
    onLookups?.('miss', wanted.length)
    // Only before anything is staged: what an earlier batch of the transaction changed must stay undoable.
    const again = isFirst && writeBehind !== undefined && store.problem() === undefined ? firstOf(blind) : []
    if (wanted.length > 0 || again.length > 0) {
      try {
        if (writeBehind === undefined) throw new AppError('Unavailable', 'the partition is not taken yet')
        const payloads = await traced('load state', { kind: 'client' }, () =>
          store.partitions.loadKeys(partition, [...wanted, ...again]),
        )
        for (const [i, key] of wanted.entries()) {
          blind.delete(key)
          this.#adopt(memory, key, payloads[i])
        }
        for (const [i, key] of again.entries()) {
          blind.delete(key)
          const payload = payloads[wanted.length + i]
          if (payload === undefined) continue
          memory.forget(key)
          this.#adopt(memory, key, payload)
        }
        writeBehind.rewrite(again)
      } catch (error) {
        if (!(error instanceof AppError && error.retriable)) throw error
        for (const key of wanted) this.#addBlind(kept, key)
      }
    }
    const knowsRisks = memory.risks === undefined || (await this.#readRisks(partition, kept, events))
    if (blind.size > 0) for (const key of keys) if (blind.has(key)) return false
    return knowsRisks
  }

  committed(partition: number, last: ReadonlyMap<string, Event>): void {
    const kept = this.#partitions.get(partition)
    if (kept === undefined) return
    kept.isHeld = false
    const { keys, partials } = kept.memory.commit()
    kept.writeBehind?.release(keys, last, partials)
  }

  dropped(partition: number): void {
    const kept = this.#partitions.get(partition)
    if (kept === undefined) return
    kept.isHeld = false
    kept.memory.rollback()
    kept.writeBehind?.release()
  }

  /** Writes what is left of partitions that another may own soon. */
  async releasing(partitions: readonly number[]): Promise<void> {
    await Promise.all(
      partitions.map(async (partition) => {
        const kept = this.#partitions.get(partition)
        if (kept === undefined || kept.isHeld) return
        await kept.writeBehind?.flushNow()
      }),
    )
  }

  revoked(partition: number): void {
    const kept = this.#partitions.get(partition)
    if (kept === undefined) return
    this.#partitions.delete(partition)
    kept.writeBehind?.close().catch(() => {})
    if (this.#partitions.size > 0) return
    clearInterval(this.#watch)
    this.#watch = undefined
  }

  /** Keys that are not written yet, and evicted ones that never were. */
  get pending(): number {
    let pending = 0
    for (const { writeBehind } of this.#partitions.values()) pending += writeBehind?.pending ?? 0
    return pending
  }

  /** What is learnt without knowing the stored state is lost when that is read, so a slow answer is worth waiting for. */
  async #ask(partition: number): Promise<TakenPartition> {
    const { store, wall } = this.#options
    for (const until = wall() + takeMs; ; ) {
      try {
        return await store.partitions.take(partition)
      } catch (error) {
        const isSlow = error instanceof AppError && error.code === 'DeadlineExceeded'
        if (!isSlow || wall() > until || store.problem() !== undefined) throw error
      }
    }
  }

  /** Notices that the store was away, and takes idle partitions again when it is back. */
  #lookAfter(): void {
    const { store, log } = this.#options
    const isAway = store.problem() !== undefined
    for (const [partition, kept] of this.#partitions) {
      if (isAway) kept.isTaken = false
      else if (!kept.isHeld)
        this.#retake(partition, kept).catch((error: unknown) => log.error({ partition, error }, 'cannot read state'))
    }
  }

  /** Between batches, where the store did not answer when the partition was assigned, or was away since. */
  async #retake(partition: number, kept: Kept): Promise<void> {
    const { store, wall, log } = this.#options
    if (kept.isTaken || wall() < kept.retakeAt || store.problem() !== undefined) return
    const { turn } = kept
    kept.retakeAt = wall() + retakeMs
    try {
      const taken = await store.partitions.take(partition)
      if (kept.turn !== turn || kept.isTaken || kept.isHeld || this.#partitions.get(partition) !== kept) return
      const { formerEpoch = 0 } = taken
      if (!kept.epochs.has(formerEpoch) && formerEpoch > kept.assignedAt + clockSkewMs) {
        // Whoever wrote after this process was given the partition owns it now; a later epoch would fence the owner.
        kept.isTaken = true
        this.#options.onFenced(partition)
        return
      }
      this.#take(partition, kept, taken)
      log.info({ partition }, 'the store is back: state is read and written again')
    } catch (error) {
      if (!(error instanceof AppError && error.retriable)) throw error
    }
  }

  #take(partition: number, kept: Kept, { epoch, formerEpoch, state }: TakenPartition): void {
    const { log, onEmptied, onForeign } = this.#options
    const isEmpty = formerEpoch === undefined
    if (!isEmpty && !kept.epochs.has(formerEpoch)) {
      kept.writeBehind?.close().catch(() => {})
      kept.writeBehind = undefined
      kept.memory = this.#memory(partition)
      kept.blind.clear()
      kept.epochs.clear()
      kept.epochs.add(formerEpoch)
      if (state !== undefined && !kept.memory.loadPartition(state)) {
        onForeign?.('partition')
        log.warn({ partition }, 'the stored state of the partition is of other detectors: it is left aside')
      }
    }
    for (const earlier of kept.epochs) if (!isEmpty && earlier < formerEpoch) kept.epochs.delete(earlier)
    kept.epochs.add(epoch)
    kept.isTaken = true
    const isFirst = kept.writeBehind === undefined
    kept.writeBehind ??= this.#writeBehind(partition, kept, epoch)
    kept.writeBehind.renew(epoch)
    if (isEmpty) kept.blind.clear()
    if (isEmpty || isFirst) kept.writeBehind.rewrite()
    if (isEmpty) onEmptied?.()
  }

  #writeBehind(partition: number, kept: Kept, epoch: number): WriteBehind<Event> {
    const { store, schema, log, featuresEveryMs, onFenced, onEmptied } = this.#options
    const writeBehind = new WriteBehind<Event>({
      partition,
      epoch,
      store: store.partitions,
      memory: {
        keys: () => kept.memory.keysInMemory(),
        saveKey: (key) => (kept.blind.has(key) ? undefined : kept.memory.saveKey(key)),
        savePartition: () => kept.memory.savePartition(),
        partials: () => kept.memory.risks?.names() ?? [],
        savePartial: (name) => kept.memory.risks?.save(name),
      },
      featuresJson: (event) => featuresJson(event, schema),
      featuresWidth: () => schema.size,
      featuresEveryMs,
      log,
      onRefill: onEmptied,
      onFenced: () => onFenced(partition),
    })
    if (kept.isHeld) writeBehind.hold()
    return writeBehind
  }

  get #stateBytesEach(): number {
    return (this.#options.stateBytes ?? defaultStateBytes) / this.#partitions.size
  }

  /** A fresh memory, which writes what it forgets. */
  #memory(partition: number): Partition {
    const { pipeline, schema } = this.#options
    const onEvict = (key: string) => {
      const kept = this.#partitions.get(partition)
      kept?.writeBehind?.evicting(key)
      kept?.blind.delete(key)
    }
    return new Partition(pipeline, { schema, staged: true, onEvict })
  }

  #adopt(memory: Partition, key: string, payload: Uint8Array | undefined): void {
    if (payload !== undefined && !memory.adopt(key, payload)) this.#options.onForeign?.('profile')
  }

  /** Before the store has told of the partition, what is read of it may not be the last. */
  async #readRisks(partition: number, { memory, writeBehind }: Kept, events: Parameters<KeptState['begin']>[1]) {
    return writeBehind !== undefined && this.#risks.read(memory.risks!, events, partition)
  }

  /** The first that became blind is forgotten where there are too many. */
  #addBlind({ blind, oldestBlind, memory }: Kept, key: string): void {
    blind.add(key)
    if (blind.size <= maxBlindKeys) return
    const first = oldestBlind()!
    blind.delete(first)
    memory.forget(first)
  }
}

function firstOf(keys: ReadonlySet<string>): string[] {
  const first: string[] = []
  for (const key of keys) {
    if (first.length === blindKeysAtOnce) break
    first.push(key)
  }
  return first
}

/** The event's features by name, those that it carries. */
export function featuresJson(event: Event, schema: FeatureSchema): string {
  const present: Record<string, number> = {}
  for (const [i, x] of event.features.entries()) if (!Number.isNaN(x)) present[schema.names[i]!] = x
  return JSON.stringify(present)
}
