/** Where rows of a batch come from. */
export interface RowSources {
  /** Number of who sent them; 0 where that is nobody else. */
  readonly caller: number
  /** Number of each row's key. */
  readonly keys: Uint32Array
  /** In ms. */
  readonly now: number
}

/** Without rows of others for so long, a source is alone: the sample is of whom there is. */
const aloneMs = 3_600_000

/**
 * Who holds which places of a sample. A source that holds its share takes only its own places from then on, as long as
 * others send rows too: however many it sends, theirs stay.
 */
export class SourceShares {
  readonly #most: number
  readonly #sources: Uint32Array
  readonly #held = new Map<number, number>()
  #last = 0
  #lastAt = Number.POSITIVE_INFINITY
  /** When the last row of another source than `#last` came: before any came, nobody is known to be alone. */
  #otherAt = Number.POSITIVE_INFINITY

  constructor(capacity: number, share: number) {
    this.#most = Math.max(1, Math.floor(share * capacity))
    this.#sources = new Uint32Array(capacity)
  }

  /** A row of the source came. */
  heard(source: number, now: number): void {
    if (this.#otherAt === Number.POSITIVE_INFINITY) this.#otherAt = now
    if (source !== this.#last && this.#last !== 0) this.#otherAt = this.#lastAt
    this.#last = source
    this.#lastAt = now
  }

  /** Whether the source may take the place; 0 is no source. */
  mayTake(place: number, source: number): boolean {
    if (source === 0 || this.#sources[place] === source || !this.holdsItsShare(source)) return true
    return this.#lastAt - this.#otherAt > aloneMs
  }

  holdsItsShare(source: number): boolean {
    return source !== 0 && (this.#held.get(source) ?? 0) >= this.#most
  }

  at(place: number): number {
    return this.#sources[place]!
  }

  put(place: number, source: number): void {
    const former = this.#sources[place]!
    if (former === source) return
    const left = (this.#held.get(former) ?? 0) - 1
    if (left > 0) this.#held.set(former, left)
    else this.#held.delete(former)
    this.#sources[place] = source
    if (source !== 0) this.#held.set(source, (this.#held.get(source) ?? 0) + 1)
  }
}
