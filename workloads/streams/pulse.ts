import type { Clock } from '../../lib/time.ts'

/** The broker answers a heartbeat every second or two. */
const silentMs = 5000

/** When the loop last turned and the broker last answered. */
export class Pulse {
  readonly #clock: Clock
  #turnedAt: number
  #heardAt: number
  /** Why the broker does not answer, as far as it is known. */
  #silence: string | undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#turnedAt = this.#heardAt = clock.monotonic()
  }

  /** By the monotonic clock. */
  get turnedAt(): number {
    return this.#turnedAt
  }

  turned(): void {
    this.#turnedAt = this.#clock.monotonic()
  }

  heard(): void {
    this.#heardAt = this.#clock.monotonic()
    this.#silence = undefined
  }

  unheard(why: string): void {
    this.#silence = why
  }

  /** That the broker has been silent for too long, in words. */
  problem(): string | undefined {
    const silentFor = this.#clock.monotonic() - this.#heardAt
    if (silentFor <= silentMs) return undefined
    return `no answer for ${Math.round(silentFor / 1000)} s${this.#silence === undefined ? '' : `: ${this.#silence}`}`
  }
}
