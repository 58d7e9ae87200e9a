import type { SlotMemory, Surprisal } from './detector.ts'
import { loadTime, SlotPages, storeTime } from './slot-pages.ts'

/** Numbers a key: events, events since the last alert, surprisal and time (in two halves) of that alert. */
const width = 5
const atEvents = 0
const atSince = 1
const atSurprisal = 2
const atTime = 3

export interface LastAlertsOptions {
  readonly refractoryMs: number
  /** Events of the key after an alert that belong to its episode; 0 where only time counts. */
  readonly refractoryEvents: number
}

/** How many events each key has had, and its last alert: what goes on after an alert is one episode. */
export class LastAlerts implements SlotMemory {
  readonly bytesPerKey = 4 * width
  readonly #options: LastAlertsOptions
  readonly #pages = new SlotPages(width)

  constructor(options: LastAlertsOptions) {
    this.#options = options
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
    const { refractoryEvents, refractoryMs } = this.#options
    if (since < refractoryEvents) return true
    return refractoryMs > 0 && Math.abs(time - loadTime(page, at + atTime)) < refractoryMs
  }

  learn(slot: number, time: number, surprisal: Surprisal, isAlert: boolean): void {
    const page = this.#pages.page(slot)
    const at = this.#pages.offset(slot)
    page[at + atEvents] = page[at + atEvents]! + 1
    page[at + atSince] = page[at + atSince]! + 1
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
    if (length !== this.bytesPerKey) throw new RangeError(`${length} bytes are no memory of a key's last alert`)
    this.#pages.load(slot, from, offset)
  }

  trim(slots: number): void {
    this.#pages.trim(slots)
  }
}
