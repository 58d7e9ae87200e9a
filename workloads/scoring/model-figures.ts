import type { Surprisal } from '../detection/detector.ts'
import { compare } from './takeover.ts'

/** Quantiles are those of so many of the last rows, the agreement is that of as many of the last rows that both scored. */
const lastRows = 1024

/** What a model made of the rows that it decided on, since the challenger came. */
export interface ServedFigures {
  readonly version: string
  readonly rows: number
  /** Share of them that the model alone finds as rare as the threshold asks for. */
  readonly alertRate: number
  /** Of its surprisal: the median, and what 5 % and 1 % of the rows exceed; null before the first. */
  readonly quantiles: { readonly p50: number; readonly p95: number; readonly p99: number } | null
}

/** The champion beside the challenger, each on its own keys, and both on the challenger's. */
export interface ChallengeFigures {
  readonly percentOfKeys: number
  readonly champion: ServedFigures
  readonly challenger: ServedFigures
  /** Spearman's rank correlation of both on the challenger's keys; null where it is not known yet. */
  readonly agreement: number | null
}

/** What is counted of one of them. */
export class RowFigures {
  rows = 0
  #alerts = 0
  readonly #last = new LastNumbers(lastRows)

  add(surprisal: Surprisal, threshold: Surprisal): void {
    if (Number.isNaN(surprisal)) return
    this.rows++
    if (surprisal >= threshold) this.#alerts++
    this.#last.add(surprisal)
  }

  figures(version: string): ServedFigures {
    const sorted = this.#last.numbers().sort()
    const quantile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
    return {
      version,
      rows: this.rows,
      alertRate: this.rows === 0 ? 0 : this.#alerts / this.rows,
      quantiles: sorted.length === 0 ? null : { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) },
    }
  }
}

/** Two models' surprisals of the same rows, the last ones. */
export class PairedSurprisals {
  readonly #ofChampion = new LastNumbers(lastRows)
  readonly #ofChallenger = new LastNumbers(lastRows)

  add(champion: Surprisal, challenger: Surprisal): void {
    if (Number.isNaN(champion + challenger)) return
    this.#ofChampion.add(champion)
    this.#ofChallenger.add(challenger)
  }

  /** Null of fewer than two rows, and where one of the models finds all alike. */
  get agreement(): number | null {
    return compare(this.#ofChampion.numbers(), this.#ofChallenger.numbers(), 0).agreement
  }
}

class LastNumbers {
  readonly #numbers: Float64Array
  #count = 0

  constructor(capacity: number) {
    this.#numbers = new Float64Array(capacity)
  }

  add(x: number): void {
    this.#numbers[this.#count++ % this.#numbers.length] = x
  }

  /** A copy, in no order that means anything, but the same for two lists that grew together. */
  numbers(): Float64Array {
    return this.#numbers.slice(0, Math.min(this.#count, this.#numbers.length))
  }
}
