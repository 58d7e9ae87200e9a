export interface RetryBudgetOptions {
  /** Retries that may be made at once. */
  readonly capacity?: number | undefined
  /** What each success gives back: 0.1 lets one call in ten be a retry. */
  readonly refill?: number | undefined
}

/**
 * Shared by all calls of a client, so that retries never add more than a share to the load of a server that is failing:
 * each takes a token, each success gives part of one back (retry throttling as in gRFC A6).
 */
export class RetryBudget {
  readonly #capacity: number
  readonly #refill: number
  #tokens: number

  constructor({ capacity = 10, refill = 0.1 }: RetryBudgetOptions = {}) {
    this.#capacity = capacity
    this.#refill = refill
    this.#tokens = capacity
  }

  /** Whether a retry may be made; it counts. */
  spend(): boolean {
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  succeeded(): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + this.#refill)
  }
}
