/** So many failures at one place, and it is not by chance. */
const suspiciousFailures = 3

/** Finds the record that a batch fails on: tries less and less of it, until one record fails alone. */
export class Isolation {
  #failures = 0
  /** Records of the next try. */
  #limit = Number.POSITIVE_INFINITY
  /** Offset after the least range that is known to fail. */
  #failingEnd: number | undefined

  /** Parts of a batch are tried alone: each is to be committed before the next one. */
  get isActive(): boolean {
    return this.#limit !== Number.POSITIVE_INFINITY
  }

  /** What is to be tried next of these records, which begin at the position. */
  take<R extends { readonly offset: number }>(records: readonly R[]): readonly R[] {
    if (!this.isActive) return records
    let count = this.#limit
    if (this.#failingEnd !== undefined) {
      const end = this.#failingEnd
      const failing = records.findIndex(({ offset }) => offset >= end)
      count = Math.min(count, Math.max(1, Math.floor((failing === -1 ? records.length : failing) / 2)))
    }
    return records.slice(0, count)
  }

  /** The records failed together, not by a server's fault. Answers whether it is the record's, as there was only one. */
  failed(records: readonly { readonly offset: number }[]): boolean {
    if (++this.#failures < suspiciousFailures) return false
    this.#limit = Math.max(1, Math.floor(records.length / 2))
    this.#failingEnd = records.at(-1)!.offset + 1
    return records.length === 1
  }

  /** All records before this offset are done with. */
  passed(offset: number): void {
    const wasActive = this.isActive
    if (this.#failingEnd !== undefined && offset >= this.#failingEnd) this.#failingEnd = undefined
    // Bad records seldom come alone: the next one is looked for after its first failure.
    this.#failures = wasActive ? suspiciousFailures - 1 : 0
    if (!wasActive) return
    this.#limit *= 2
    if (this.#failingEnd === undefined && this.#limit > largestTry) this.#limit = Number.POSITIVE_INFINITY
  }
}

/** Where so many records passed at once, batches are whole again. */
const largestTry = 512
