import type { Event } from '../detection/event.ts'
import { type KnownRisk, type SecondaryRisks, wasRead } from '../detection/secondary-risks.ts'
import { degradeWithoutStore, mostRiskyValues, type PartitionStore } from '../state/state.ts'

export interface RiskReaderOptions {
  readonly store: Pick<PartitionStore, 'loadPartials' | 'riskySince'>
  /** Monotonic time in ms. */
  readonly clock: () => number
  /** How old what is known of other partitions may be, in ms. */
  readonly maxAgeMs?: number | undefined
}

/** Values that could not be read are read with later batches, so many at once. */
const missedAtOnce = 1000
const mostMissed = 200_000
/** How far the clocks of two servers may be apart of which one takes over from the other. */
const clockSkewMs = 5000

/**
 * Reads what partitions have counted of the values of secondary keys, a batch's in one call. A value without a risk is
 * read once: of values that have one the store keeps a list, which is looked at once a second.
 */
export class RiskReader {
  readonly #options: RiskReaderOptions
  readonly #maxAgeMs: number
  readonly #risky = new Set<string>()
  readonly #missed = new WeakMap<SecondaryRisks, Set<KnownRisk>>()
  /** Of the list, by the store's clock; and when it was looked at, by this process's. */
  #since = 0
  #lookedAt = Number.NEGATIVE_INFINITY
  #looking: Promise<void> = Promise.resolve()

  constructor(options: RiskReaderOptions) {
    this.#options = options
    this.#maxAgeMs = options.maxAgeMs ?? 1000
  }

  /**
   * Brings what is known of the events' values up to date. Without the store that stays as it is. False: some of them
   * were never read.
   * @param own the partition whose partials are in memory, if any
   */
  async read(risks: SecondaryRisks, events: readonly Pick<Event, 'secondaryKeys'>[], own?: number): Promise<boolean> {
    const values = risks.valuesOf(events)
    if (values.size === 0) return true
    const { store, clock } = this.#options
    const missed = this.#missed.get(risks) ?? new Set()
    this.#missed.set(risks, missed)
    const wanted = new Set<KnownRisk>()
    try {
      const at = clock()
      if (at - this.#lookedAt >= this.#maxAgeMs) {
        this.#lookedAt = at
        this.#looking = this.#look()
      }
      await this.#looking
      for (const known of values) if (this.#isDue(known, at)) wanted.add(known)
      for (const known of missed) {
        if (wanted.size >= missedAtOnce + values.size) break
        wanted.add(known)
      }
      if (wanted.size === 0) return true
      const found = await store.loadPartials(Array.from(wanted, ({ name }) => name))
      let i = 0
      for (const known of wanted) {
        risks.adopt(known, found[i++]!, { own, at })
        missed.delete(known)
      }
      return true
    } catch (error) {
      degradeWithoutStore(error)
      let knowsAll = true
      for (const known of values) {
        if (wasRead(known)) continue
        knowsAll = false
        if (missed.size < mostMissed) missed.add(known)
      }
      return knowsAll
    }
  }

  #isDue(known: KnownRisk, now: number): boolean {
    return !wasRead(known) || (now - known.readAt >= this.#maxAgeMs && this.#risky.has(known.name))
  }

  async #look(): Promise<void> {
    if (this.#risky.size > 2 * mostRiskyValues) {
      this.#risky.clear()
      this.#since = 0
    }
    const { at, names } = await this.#options.store.riskySince(this.#since)
    for (const name of names) this.#risky.add(name)
    this.#since = at - clockSkewMs
  }
}
