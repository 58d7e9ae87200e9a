import { type Random, type RandomState, random } from './random.ts'
import { seal, unseal } from './sealed-bytes.ts'
import { type RowSources, SourceShares } from './source-shares.ts'

export interface ReservoirOptions {
  readonly seed: number | string
  /** Rows kept at most; 4,096 if absent. */
  readonly capacity?: number
}

const kind = 'RSVR'
const version = 1
/** capacity, columns, rows kept, rows seen, four words of the random stream: each a float64. */
const headerLength = 8 * 8
/**
 * Of the sample. Whoever makes up more than half of it decides what is ordinary (the breakdown point of any estimate, P.
 * J. Rousseeuw and A. M. Leroy, "Robust Regression and Outlier Detection", 1987, section 1.2); one key stays well below.
 */
const [callersShare, keysShare] = [1 / 2, 1 / 4]

/**
 * A uniform sample without replacement of all rows seen so far (J. S. Vitter, "Random Sampling with a Reservoir", ACM
 * TOMS 11, 1985, algorithm R). Nothing is kept out: a history of everything dilutes bursts by itself, and leaving
 * out what was called an anomaly was measured to hurt. Where rows say whose they are, no caller and no key takes the
 * places of others beyond its share.
 *
 * Columns are append-only: a wider row widens all, and what a row did not have is NaN.
 */
export class Reservoir {
  readonly capacity: number
  #random: Random
  #seen = 0
  #kept = 0
  #columns = 0
  #rows = new Float64Array(0)
  readonly #callers: SourceShares
  readonly #keys: SourceShares

  constructor(options: ReservoirOptions) {
    this.capacity = options.capacity ?? 4096
    this.#callers = new SourceShares(this.capacity, callersShare)
    this.#keys = new SourceShares(this.capacity, keysShare)
    this.#random = random(options.seed)
  }

  /** All rows ever added. */
  get rowsSeen(): number {
    return this.#seen
  }

  /** Rows in the sample. */
  get size(): number {
    return this.#kept
  }

  get columns(): number {
    return this.#columns
  }

  /** The sample: a row-major copy, `size` times `columns`. */
  rows(): Float64Array<ArrayBuffer> {
    return this.#rows.slice(0, this.#kept * this.#columns)
  }

  /** Adds the first `count` rows of a row-major matrix in order. Results do not depend on where a stream is cut. */
  add(matrix: Float64Array, count: number, columns: number, sources?: RowSources): void {
    if (columns > this.#columns) this.#widen(columns)
    for (let row = 0; row < count; row++) {
      const isFull = this.#kept === this.capacity
      let at = isFull ? this.#random.int(this.#seen + 1) : this.#kept++
      this.#seen++
      const [caller, key] = sources === undefined ? [0, 0] : [sources.caller, sources.keys[row]!]
      if (sources !== undefined) {
        this.#callers.heard(caller, sources.now)
        this.#keys.heard(key, sources.now)
      }
      if (at >= this.capacity) continue
      if (isFull) at = this.#placeFrom(at, caller, key)
      if (at < 0) continue
      this.#callers.put(at, caller)
      this.#keys.put(at, key)
      const into = at * this.#columns
      for (let column = 0; column < columns; column++) this.#rows[into + column] = matrix[row * columns + column]!
      this.#rows.fill(Number.NaN, into + columns, into + this.#columns)
    }
  }

  /** The place drawn, or the next one that caller and key may take; -1 where there is none. */
  #placeFrom(drawn: number, caller: number, key: number): number {
    for (let i = 0; i < this.capacity; i++) {
      const place = (drawn + i) % this.capacity
      if (this.#callers.mayTake(place, caller) && this.#keys.mayTake(place, key)) return place
    }
    return -1
  }

  /**
   * A reservoir of what two saw together: uniform over all rows of both. Each place of the sample goes to one of them
   * with the odds of the rows it still stands for. Rows of a source beyond its share only fill what others leave.
   */
  static merge(one: Reservoir, other: Reservoir, seed: number | string): Reservoir {
    const capacity = Math.min(one.capacity, other.capacity)
    const merged = new Reservoir({ seed, capacity })
    merged.#widen(Math.max(one.#columns, other.#columns))
    merged.#seen = one.#seen + other.#seen
    const sources = [one, other].map((reservoir) => ({
      reservoir,
      standsFor: reservoir.#seen,
      left: Uint32Array.from({ length: reservoir.#kept }, (_, row) => row),
    })) as [Source, Source]
    const spare: [reservoir: Reservoir, row: number][] = []
    const take = (reservoir: Reservoir, row: number): void => {
      const from = row * reservoir.#columns
      merged.#callers.put(merged.#kept, reservoir.#callers.at(row))
      merged.#keys.put(merged.#kept, reservoir.#keys.at(row))
      merged.#rows.set(reservoir.#rows.subarray(from, from + reservoir.#columns), merged.#kept * merged.#columns)
      merged.#kept++
    }
    const [first, second] = sources
    while (merged.#kept < capacity && first.left.length + second.left.length > 0) {
      const isFirst = merged.#random.int(first.standsFor + second.standsFor) < first.standsFor
      const source = (isFirst && first.left.length > 0) || second.left.length === 0 ? first : second
      source.standsFor--
      const { reservoir } = source
      const drawn = merged.#random.int(source.left.length)
      const row = source.left[drawn]!
      source.left[drawn] = source.left.at(-1)!
      source.left = source.left.subarray(0, -1)
      const isOver =
        merged.#callers.holdsItsShare(reservoir.#callers.at(row)) || merged.#keys.holdsItsShare(reservoir.#keys.at(row))
      if (isOver) spare.push([reservoir, row])
      else take(reservoir, row)
    }
    for (const [reservoir, row] of spare.slice(0, capacity - merged.#kept)) take(reservoir, row)
    return merged
  }

  /** Caller and key of each row in the sample, in turn: `load` takes them beside what `save` wrote. */
  sources(): Uint32Array<ArrayBuffer> {
    return Uint32Array.from({ length: 2 * this.#kept }, (_, i) => (i % 2 === 0 ? this.#callers : this.#keys).at(i >> 1))
  }

  /** Everything that `load` needs to go on as this one would, but for the sources of rows. */
  save(): Uint8Array {
    const header = [this.capacity, this.#columns, this.#kept, this.#seen, ...this.#random.state()]
    const payload = new DataView(new ArrayBuffer(headerLength + 8 * this.#kept * this.#columns))
    for (const [i, n] of header.entries()) payload.setFloat64(8 * i, n, true)
    for (let i = 0; i < this.#kept * this.#columns; i++) payload.setFloat64(headerLength + 8 * i, this.#rows[i]!, true)
    return seal(kind, version, new Uint8Array(payload.buffer))
  }

  /**
   * Reads what `save` wrote.
   * @throws Error that names what is wrong with the bytes
   */
  static load(bytes: Uint8Array, sources?: Uint32Array): Reservoir {
    const payload = unseal(kind, version, bytes)
    const view = new DataView(payload.buffer)
    const [capacity, columns, kept, seen, ...state] = Array.from({ length: 8 }, (_, i) =>
      view.getFloat64(8 * i, true),
    ) as [number, number, number, number, number, number, number, number]
    if (kept > capacity || payload.length !== headerLength + 8 * kept * columns)
      throw new Error(`Cannot read ${kind}: ${kept} rows of ${columns} columns do not fit ${payload.length} bytes`)
    const reservoir = new Reservoir({ seed: 0, capacity })
    reservoir.#random = random(state as RandomState)
    reservoir.#widen(columns)
    reservoir.#kept = kept
    reservoir.#seen = seen
    for (let i = 0; i < kept * columns; i++) reservoir.#rows[i] = view.getFloat64(headerLength + 8 * i, true)
    for (let row = 0; row < kept; row++) {
      reservoir.#callers.put(row, sources?.[2 * row] ?? 0)
      reservoir.#keys.put(row, sources?.[2 * row + 1] ?? 0)
    }
    return reservoir
  }

  #widen(columns: number): void {
    const rows = new Float64Array(this.capacity * columns).fill(Number.NaN)
    for (let row = 0; row < this.#kept; row++)
      rows.set(this.#rows.subarray(row * this.#columns, (row + 1) * this.#columns), row * columns)
    this.#columns = columns
    this.#rows = rows
  }
}

interface Source {
  readonly reservoir: Reservoir
  /** Rows seen that the rows left in the sample stand for. */
  standsFor: number
  left: Uint32Array
}
