import type { SlotMemory, Surprisal } from './detector.ts'
import { loadTime, SlotPages, storeTime } from './slot-pages.ts'

/**
 * Numbers a key: events, events since the last alert, surprisal and time (in two halves) of that alert. Where events count,
 * also how many of the latest ones were below the threshold.
 */
const width = 5
const atEvents = 0
const atSince = 1
const atSurprisal = 2
const atTime = 3
const atQuiet = 5
/**
 * Where events count, so many of them in a row below the threshold end the episode before. NAB, KPIs found / false, means over
 * starts of the threshold: 71.8, 213 / 58 with 30; 74.0, 215 / 54 with 40; 74.4, 212 / 56 with 50; 74.9, 200 / 64 without.
 */
export const quietEvents = 40

export interface LastAlertsOptions {
  readonly refractoryMs: number
  /** Events of the key after an alert that belong to its episode, at most; 0 where only time counts. */
  readonly refractoryEvents: number
}

/** How many events each key has had, and its last alert: what goes on after an alert is one episode. */
export class LastAlerts implements SlotMemory {
  readonly bytesPerKey: number
  readonly #refractoryEvents: number
  #refractoryMs: number
  readonly #pages: SlotPages

  constructor(options: LastAlertsOptions) {
    this.#refractoryEvents = options.refractoryEvents
    this.#refractoryMs = options.refractoryMs
    this.#pages = new SlotPages(options.refractoryEvents > 0 ? width + 1 : width)
    this.bytesPerKey = 4 * this.#pages.width
  }

  /** How long an alert stands from now on, those of before as well. */
  use(refractoryMs: number): void {
    this.#refractoryMs = refractoryMs
  }

  /** Events that the key has had. */
  events(slot: number): number {
    return this.#pages.page(slot)[this.#pages.offset(slot) + atEvents]!
  }

  /** Surprisal of the key's last alert. */
  lastAlert(slot: number): Surprisal {
    return this.#pages.page(slot)[this.#pages.offset(slot) + atSurprisal]!
  }

  /** Whether the key's last alert still stands for what goes on. */
  goesOn(slot: number, time: number): boolean {
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot)
    const since = page[at + atSince]!
    if (since === Number.POSITIVE_INFINITY) return false
    if (since < this.#refractoryEvents && page[at + atQuiet]! < quietEvents) return true
    return this.#refractoryMs > 0 && Math.abs(time - loadTime(page, at + atTime)) < this.#refractoryMs
  }

  /** @param isHigh whether the event reached the threshold, as every alert does */
  learn(slot: number, time: number, surprisal: Surprisal, isHigh: boolean, isAlert: boolean): void {
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot)
    page[at + atEvents] = page[at + atEvents]! + 1
    page[at + atSince] = page[at + atSince]! + 1
    if (this.#refractoryEvents > 0) page[at + atQuiet] = isHigh ? 0 : page[at + atQuiet]! + 1
    if (!isAlert) return
    page[at + atSince] = 0
    page[at + atSurprisal] = surprisal
    if (!Number.isNaN(time)) storeTime(page, at + atTime, time)
  }

  reset(slot: number): void {
    this.#pages.clear(slot)
    this.#pages.page(slot)[this.#pages.offset(slot) + atSince] = Number.POSITIVE_INFINITY
  }

  save(slot: number, into: DataView, offset: number): void {
    this.#pages.save(slot, into, offset)
  }

  load(slot: number, from: DataView, offset: number, length: number): void {
    if (length !== this.bytesPerKey && length !== 4 * width)
      throw new RangeError(`${length} bytes are no memory of a key's last alert`)
    this.#pages.load(slot, from, offset, length / 4)
  }

  trim(slots: number): void {
    this.#pages.trim(slots)
  }
}
