import { riskWidth } from './risk.ts'

/** Values whose risk is remembered, at least. */
const kept = 200_000

/** The risks of one secondary key's values. Those that did not occur for longest are forgotten where there are too many. */
export class RiskTable {
  #recent = new Map<string, Float32Array>()
  #former = new Map<string, Float32Array>()
  readonly #kept: number

  constructor(most = kept) {
    this.#kept = most
  }

  /** The value's risk; a fresh one where nothing is known of it. */
  of(value: string): Float32Array {
    let risk = this.#recent.get(value)
    if (risk !== undefined) return risk
    risk = this.#former.get(value) ?? new Float32Array(riskWidth)
    if (this.#recent.size >= this.#kept) {
      this.#former = this.#recent
      this.#recent = new Map()
    }
    this.#recent.set(value, risk)
    return risk
  }
}
