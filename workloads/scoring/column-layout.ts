/** Row-major rows with the names of their columns. */
export interface NamedRows {
  readonly columns: readonly string[]
  readonly rows: Float64Array
  readonly count: number
}

/** Row-major rows, `width` numbers each. */
export interface LaidRows {
  readonly rows: Float64Array
  readonly width: number
}

/**
 * Lays rows out for one list of columns, whatever list they come with. Where one list begins with the other, which is
 * the rule, rows stay as they are: models and reservoirs pad and cut by themselves.
 */
export class ColumnLayout {
  readonly columns: readonly string[]
  readonly #places = new WeakMap<readonly string[], Int32Array | 'AsTheyAre'>()

  constructor(columns: readonly string[]) {
    this.columns = columns
  }

  lay({ columns, rows, count }: NamedRows): LaidRows {
    const places = this.#placesOf(columns)
    if (places === 'AsTheyAre') return { rows, width: columns.length }
    const width = this.columns.length
    const laid = new Float64Array(count * width).fill(Number.NaN)
    for (let row = 0; row < count; row++)
      for (const [column, place] of places.entries())
        if (place >= 0) laid[row * width + place] = rows[row * columns.length + column]!
    return { rows: laid, width }
  }

  /** Where each of the given columns goes, -1 where nowhere. */
  #placesOf(columns: readonly string[]): Int32Array | 'AsTheyAre' {
    const known = this.#places.get(columns)
    if (known !== undefined) return known
    const places = isPrefix(columns, this.columns)
      ? 'AsTheyAre'
      : Int32Array.from(columns, (column) => this.columns.indexOf(column))
    this.#places.set(columns, places)
    return places
  }
}

/** Whether one list begins with the other. */
export function isPrefix(one: readonly string[], other: readonly string[]): boolean {
  const common = Math.min(one.length, other.length)
  for (let i = 0; i < common; i++) if (one[i] !== other[i]) return false
  return true
}
