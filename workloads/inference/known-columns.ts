import type { RowBatch } from '../scoring/scorer.ts'

/** What rows have beside the pipeline's features: the value and the profile's view of the event. */
export const ownColumns = ['value', 'value.deviation', 'interval.deviation'] as const

/** Rows without the columns that the pipeline does not have. */
export interface KnownRows {
  readonly batch: RowBatch
  /** Names of the columns that were left out. */
  readonly leftOut: readonly string[]
}

interface Selection {
  /** The given list where all of it is known. */
  readonly columns: readonly string[]
  readonly places: readonly number[]
  readonly leftOut: readonly string[]
}

/**
 * The columns of a pipeline: only consumers and the API make features known. Whatever else a caller sends is left out:
 * it would be a column of everybody's rows for good.
 */
export class KnownColumns {
  #names: readonly string[] = []
  #known: ReadonlySet<string> = new Set(ownColumns)
  #selections = new WeakMap<readonly string[], Selection>()

  /** The pipeline's features, in their order; another list where it has changed. */
  get names(): readonly string[] {
    return this.#names
  }

  /** What the store has; a store that was emptied has forgotten nothing that is of use. */
  use(names: readonly string[]): void {
    const isSame = names.length === this.#names.length && names.every((name, i) => name === this.#names[i])
    if (names.length === 0 || isSame) return
    this.#names = [...names]
    this.#known = new Set([...ownColumns, ...names])
    this.#selections = new WeakMap()
  }

  select(batch: RowBatch): KnownRows {
    const { columns, places, leftOut } = this.#selectionOf(batch.columns)
    if (leftOut.length === 0) return { batch, leftOut }
    const width = batch.columns.length
    const rows = new Float64Array(batch.count * columns.length)
    for (let row = 0, to = 0; row < batch.count; row++)
      for (const place of places) rows[to++] = batch.rows[row * width + place]!
    return { batch: { ...batch, columns, rows }, leftOut }
  }

  #selectionOf(columns: readonly string[]): Selection {
    let found = this.#selections.get(columns)
    if (found === undefined) {
      const places = [...columns.keys()].filter((place) => this.#known.has(columns[place]!))
      const leftOut = columns.filter((column) => !this.#known.has(column))
      const known = leftOut.length === 0 ? columns : places.map((place) => columns[place]!)
      found = { columns: known, places, leftOut }
      this.#selections.set(columns, found)
    }
    return found
  }
}
