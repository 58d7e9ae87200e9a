import type { Clock } from '../../lib/time.ts'

interface Timer {
  readonly due: number
  readonly fire: () => void
}

/** Time that passes at once when all that is left to do is to wait. */
export class VirtualClock implements Clock {
  #now = 0
  readonly #timers = new Set<Timer>()
  #isRunning = false

  wall = (): number => Date.UTC(2024, 0, 1) + this.#now

  monotonic = (): number => this.#now

  after = (ms: number, callback: () => void): (() => void) => {
    const timer = { due: this.#now + ms, fire: callback }
    this.#timers.add(timer)
    if (!this.#isRunning) this.#run()
    return () => this.#timers.delete(timer)
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    for (;;) {
      // What can be done without time is done first.
      for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
      const next = [...this.#timers].reduce<Timer | undefined>((a, b) => (a && a.due <= b.due ? a : b), undefined)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.due)
      next.fire()
    }
    this.#isRunning = false
  }
}
