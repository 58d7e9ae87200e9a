import { newNamesAnHour, usedAtMostMs } from './state.ts'

const hourMs = 3_600_000

/** The feature names of a pipeline in the memory of one process: what `FeatureStore` says of them. */
export class KnownNames {
  readonly #maxFeatures: number
  readonly #names: string[] = []
  /** When names became known of which an hour may have so many. */
  #hour = { began: Number.NEGATIVE_INFINITY, names: 0 }
  /** Time that passed while names were used, in ms, and when the last part of it was counted. */
  #clock = 0
  #countedAt: number | undefined
  /** By that clock. */
  readonly #usedAt = new Map<string, number>()

  constructor({ maxFeatures }: { readonly maxFeatures: number }) {
    this.#maxFeatures = maxFeatures
  }

  get names(): readonly string[] {
    return [...this.#names]
  }

  /** @param now in ms; where it is NaN, no hour ends, and none is counted */
  extend(wanted: readonly string[], now: number): readonly string[] {
    const names = this.#names
    const { length } = names
    if (Math.abs(now - this.#hour.began) >= hourMs) this.#hour = { began: now, names: 0 }
    const isCounted = length > 0 && !Number.isNaN(now)
    let left = isCounted ? newNamesAnHour - this.#hour.names : this.#maxFeatures
    for (const [i, name] of wanted.entries()) {
      // Who has not heard yet that a name was forgotten has it where it was.
      const isForgotten = i < length && names[i] === ''
      if (name === '' || isForgotten || left <= 0 || names.includes(name)) continue
      const named = names.filter((known) => known !== '').length
      if (named >= this.#maxFeatures || names.length >= 2 * this.#maxFeatures) continue
      names.push(name)
      left--
    }
    if (isCounted) this.#hour.names += names.length - length
    return this.names
  }

  forget(given: readonly string[]): readonly string[] {
    const forgotten = this.#names.filter((name) => name !== '' && given.includes(name))
    for (const name of forgotten) {
      this.#names[this.#names.indexOf(name)] = ''
      this.#usedAt.delete(name)
    }
    return forgotten
  }

  use(used: readonly string[], ttlMs: number, now: number): readonly string[] {
    const passed = now - (this.#countedAt ?? now)
    this.#clock += Math.max(0, Math.min(passed, usedAtMostMs))
    this.#countedAt = now
    const isUsed = new Set(used)
    const old: string[] = []
    for (const name of this.#names) {
      if (name === '') continue
      const usedAt = this.#usedAt.get(name)
      if (isUsed.has(name) || usedAt === undefined) this.#usedAt.set(name, this.#clock)
      else if (this.#clock - usedAt > ttlMs) old.push(name)
    }
    this.forget(old)
    return this.names
  }
}
