import type { Logger } from '../../lib/log.ts'
import { oldestOf } from '../../lib/oldest-of.ts'
import { backoff, type Clock, sleep, systemClock } from '../../lib/time.ts'
import type { SavedPartial } from '../detection/secondary-risks.ts'
import type { PartitionStore } from './state.ts'

/** The memory of one partition, which is what gets written. */
export interface PartitionMemory {
  /** Every key in memory. */
  keys(): Iterable<string>
  /** The payload of a key, in bytes of its own; undefined where memory has none. */
  saveKey(key: string): Uint8Array | undefined
  savePartition(): Uint8Array
  /** Names of all values in memory that other partitions have parts of, too. */
  partials?(): Iterable<string>
  /** What the partition has counted of a value; undefined where it must not be written. */
  savePartial?(name: string): SavedPartial | undefined
}

export interface WriteBehindOptions<F> {
  readonly partition: number
  readonly epoch: number
  readonly store: Pick<PartitionStore, 'flush'>
  readonly memory: PartitionMemory
  /** JSON of a key's last features, made when they are written; without it none are. */
  readonly featuresJson?: ((last: F) => string) | undefined
  readonly log: Logger
  /** A newer owner holds the partition: nothing of this one is written any more. */
  readonly onFenced: () => void
  /** The store had nothing of the partition, or has lost some of it: everything in memory is being written again. */
  readonly onRefill?: (() => void) | undefined
  readonly clock?: Clock | undefined
  readonly random?: (() => number) | undefined
  /** A key is written at most this often, in ms. */
  readonly everyMs?: number | undefined
  /** How many numbers the last features of a key are; 1 if absent. */
  readonly featuresWidth?: (() => number) | undefined
  /**
   * So are the last features of a key, which are about half of what there is to write, and partials that are not urgent;
   * no less often than keys.
   */
  readonly featuresEveryMs?: number | undefined
  /** What evicted keys may hold until they are written, in bytes; the first evicted are lost beyond it. */
  readonly parkedBytes?: number | undefined
}

/** Keys that are encoded in one go, so that writing everything again does not hold up the stream. */
const keysAtOnce = 10_000
const maxBackOffMs = 5000
/** What is remembered of last features until they are written; keys unchanged for longest are dropped beyond it. */
const maxFeatureKeys = 50_000
const maxFeatureNumbers = 4_000_000

/**
 * Writes a partition's memory to the store behind the stream: what changed, each key at most once a second, only between
 * batches. While the store does not answer, the names of changed keys add up, never their payloads, and are
 * tried again after 1, 2, 4 and then every 5 s. A crash loses what the last flush did not have.
 *
 * `F` is whatever the owner knows of the last features of a key, such as its last event.
 */
export class WriteBehind<F = never> {
  readonly #options: WriteBehindOptions<F>
  readonly #clock: Clock
  readonly #everyMs: number
  readonly #featuresEveryMs: number
  #epoch: number
  readonly #parkedLimit: number
  /** Keys that changed since the round began, and those of the round that are still to be written. */
  #changed = new Set<string>()
  #round = new Set<string>()
  #partitionChanged = false
  /** Names of values that changed, and of those that may wait. */
  #partials = new Set<string>()
  readonly #partialsLater = new Set<string>()
  #features = new Map<string, F>()
  /** Keys whose features were written since all were due, and what these keys had since. */
  readonly #featuresWritten = new Set<string>()
  readonly #featuresLater = new Map<string, F>()
  #laterDueAt = Number.NEGATIVE_INFINITY
  /** Payloads of keys that memory has dropped before they were written, in order of their eviction. */
  readonly #parked = new Map<string, Uint8Array>()
  readonly #firstParked = oldestOf(this.#parked)
  #parkedBytes = 0
  #lost = 0
  /** The keys on their way to the store. */
  #sent: ReadonlyMap<string, Uint8Array> | undefined
  #flight: Promise<void> = Promise.resolve()
  #held = false
  #over = false
  #failures = 0
  /** Before this no round begins and no failed flush is repeated. */
  #notBefore = Number.NEGATIVE_INFINITY
  #cancelTimer: (() => void) | undefined

  constructor(options: WriteBehindOptions<F>) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#everyMs = options.everyMs ?? 1000
    this.#featuresEveryMs = options.featuresEveryMs ?? this.#everyMs
    this.#epoch = options.epoch
    this.#parkedLimit = options.parkedBytes ?? 16 * 2 ** 20
  }

  /** Keys that are not written yet. */
  get pending(): number {
    let pending = this.#round.size + (this.#sent?.size ?? 0) + this.#partials.size + this.#partialsLater.size
    for (const key of this.#changed) if (!this.#round.has(key) && !this.#sent?.has(key)) pending++
    return pending
  }

  /** Evicted keys whose last changes were never written because the store was away for too long. */
  get lost(): number {
    return this.#lost
  }

  /** The same owner has taken the partition again and kept its memory: what is not written yet goes under the new epoch. */
  renew(epoch: number): void {
    this.#epoch = epoch
  }

  /** These keys, by default all that is in memory, are written again, whatever the store has of them. */
  rewrite(keys?: Iterable<string>): void {
    if (this.#over) return
    if (keys === undefined) this.#addAllPartials()
    for (const key of keys ?? this.#options.memory.keys()) {
      this.#changed.add(key)
      this.#partitionChanged = true
    }
    this.#next()
  }

  /** A batch begins: from now on memory holds what is not committed, and nothing is read from it. */
  hold(): void {
    this.#held = true
  }

  /**
   * The batch is over: these keys changed for good, none where it was dropped; `features` are the keys' last, `partials`
   * the names of values that changed, and whether that is urgent.
   */
  release(
    changed: Iterable<string> = [],
    features?: ReadonlyMap<string, F>,
    partials?: ReadonlyMap<string, boolean>,
  ): void {
    this.#held = false
    if (this.#over) return
    for (const key of changed) {
      this.#changed.add(key)
      this.#partitionChanged = true
    }
    for (const [name, isUrgent] of partials ?? []) (isUrgent ? this.#partials : this.#partialsLater).add(name)
    if (features !== undefined && this.#options.featuresJson !== undefined) {
      for (const [key, last] of features)
        put(this.#featuresWritten.has(key) ? this.#featuresLater : this.#features, key, last)
      this.#limit(this.#features)
      this.#limit(this.#featuresLater)
    }
    this.#next()
  }

  /** To be called before memory drops a key that the batch in hand has not changed. */
  evicting(key: string): void {
    if (this.#over) return
    if (!this.#changed.has(key) && !this.#round.has(key) && !this.#sent?.has(key)) return
    const payload = this.#options.memory.saveKey(key)
    if (payload === undefined) return
    this.#unpark(key)
    this.#parked.set(key, payload)
    this.#parkedBytes += payload.length
    while (this.#parkedBytes > this.#parkedLimit) {
      const first = this.#firstParked()!
      this.#unpark(first)
      this.#changed.delete(first)
      this.#round.delete(first)
      this.#lost++
    }
  }

  /** The payload of an evicted key that the store may not have yet; to be asked before the store is. Memory has it again. */
  recall(key: string): Uint8Array | undefined {
    const payload = this.#parked.get(key)
    if (payload === undefined) return undefined
    this.#unpark(key)
    this.#changed.add(key)
    return payload
  }

  /**
   * Writes all that is left, before the partition is handed over; not while a batch is held. True: the store has
   * everything. False: it was fenced, out of reach for `timeoutMs`, or a batch began meanwhile.
   */
  async flushNow(options: { readonly timeoutMs?: number | undefined } = {}): Promise<boolean> {
    if (this.#held) throw new RangeError('cannot flush a batch that is neither committed nor dropped')
    const { timeoutMs = 3000 } = options
    const deadline = this.#clock.monotonic() + timeoutMs
    let pauseMs = 50
    for (;;) {
      await this.#flight
      if (this.#over || this.#held) return false
      this.#allDue()
      if (!this.#dirty) return true
      if (this.#failures > 0) {
        const left = deadline - this.#clock.monotonic()
        if (left <= 0) return false
        await sleep(Math.min(pauseMs, left), { clock: this.#clock })
        pauseMs *= 2
      }
      this.#notBefore = Number.NEGATIVE_INFINITY
      this.#next()
    }
  }

  /** Nothing is written from now on; settles when nothing is on its way. */
  async close(): Promise<void> {
    this.#over = true
    this.#cancelTimer?.()
    await this.#flight
  }

  get #dirty(): boolean {
    const keys = this.#changed.size + this.#round.size + this.#partials.size + this.#features.size
    return this.#partitionChanged || keys > 0
  }

  /** Sends the next keys if it is time and there are any. */
  #next(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    if (this.#over || this.#held || this.#sent !== undefined) return
    const now = this.#clock.monotonic()
    if (now >= this.#laterDueAt) {
      this.#allDue()
      this.#laterDueAt = now + this.#featuresEveryMs
    }
    if (!this.#dirty && this.#featuresLater.size + this.#partialsLater.size === 0) return
    const wait = (this.#dirty ? this.#notBefore : this.#laterDueAt) - now
    const isBehind = this.#round.size > 0 || this.#partials.size > keysAtOnce
    if (wait > 0 && (!isBehind || this.#failures > 0)) {
      this.#cancelTimer = this.#clock.after(wait, () => this.#next())
      return
    }
    if (this.#round.size === 0) {
      this.#round = this.#changed
      this.#changed = new Set()
      this.#notBefore = now + this.#everyMs
    }
    this.#flight = this.#send()
  }

  async #send(): Promise<void> {
    const { memory, store, partition, featuresJson, log, onFenced, onRefill } = this.#options
    const sent = new Map<string, Uint8Array>()
    const withPartition = this.#partitionChanged
    const features = this.#features
    const names: string[] = []
    this.#sent = sent
    this.#partitionChanged = false
    this.#features = new Map()
    try {
      for (const key of this.#round) {
        if (sent.size === keysAtOnce) break
        this.#round.delete(key)
        const payload = this.#parked.get(key) ?? memory.saveKey(key)
        if (payload !== undefined) sent.set(key, payload)
      }
      const shared = withPartition ? memory.savePartition() : undefined
      const jsons = new Map<string, string>()
      for (const [key, last] of features) jsons.set(key, featuresJson!(last))
      const partials = new Map<string, SavedPartial>()
      for (const name of this.#partials) {
        if (names.length === keysAtOnce) break
        this.#partials.delete(name)
        names.push(name)
        const partial = memory.savePartial?.(name)
        if (partial !== undefined) partials.set(name, partial)
      }
      const changes = { keys: sent, partition: shared, features: jsons, partials }
      const outcome = await store.flush(partition, this.#epoch, changes)
      if (this.#failures > 0) log.info({ partition }, 'state is written again')
      this.#failures = 0
      for (const [key, payload] of sent) if (this.#parked.get(key) === payload) this.#unpark(key)
      for (const key of features.keys()) this.#featuresWritten.add(key)
      if (outcome === 'Refill') {
        this.#allDue()
        this.#addAllPartials()
        for (const key of memory.keys()) this.#changed.add(key)
        this.#partitionChanged ||= !withPartition
        onRefill?.()
      } else if (outcome === 'Fenced' && !this.#over) {
        this.#over = true
        onFenced()
      }
    } catch (error) {
      if (this.#failures++ === 0)
        log.warn({ partition, error }, 'cannot write state; it stays in memory and is tried again')
      for (const key of sent.keys()) this.#round.add(key)
      for (const name of names) this.#partials.add(name)
      this.#partitionChanged ||= withPartition
      for (const [key, last] of this.#features) put(features, key, last)
      this.#features = features
      this.#limit(features)
      const waitMs = backoff(this.#failures, {
        baseMs: this.#everyMs,
        maxMs: maxBackOffMs,
        random: this.#options.random,
      })
      this.#notBefore = this.#clock.monotonic() + waitMs
    } finally {
      this.#sent = undefined
    }
    this.#next()
  }

  #addAllPartials(): void {
    for (const name of this.#options.memory.partials?.() ?? []) this.#partials.add(name)
  }

  #allDue(): void {
    for (const [key, last] of this.#featuresLater) put(this.#features, key, last)
    this.#limit(this.#features)
    for (const name of this.#partialsLater) this.#partials.add(name)
    this.#partialsLater.clear()
    this.#featuresLater.clear()
    this.#featuresWritten.clear()
  }

  /** The oldest entries go where there are too many. */
  #limit(entries: Map<string, F>): void {
    const most = Math.min(maxFeatureKeys, maxFeatureNumbers / (this.#options.featuresWidth?.() ?? 1))
    for (const key of entries.keys()) {
      if (entries.size <= most) break
      entries.delete(key)
    }
  }

  #unpark(key: string): void {
    const payload = this.#parked.get(key)
    if (payload === undefined) return
    this.#parked.delete(key)
    this.#parkedBytes -= payload.length
  }
}

/** The key's entry becomes the newest. */
function put<F>(entries: Map<string, F>, key: string, last: F): void {
  entries.delete(key)
  entries.set(key, last)
}
