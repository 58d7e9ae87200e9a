/** A column that fewer than one row in so many carries is no part of a model: what few rows have says nothing of others. */
const rare = 64
/** Of few rows, so many must carry it. */
const leastRows = 2

export interface NamedColumns {
  /** Row-major; NaN where a row lacks a number. */
  readonly rows: Float64Array
  readonly columns: readonly string[]
}

/**
 * The columns of a sample that enough of its rows carry. A name that one event brought changes nothing of a model that is
 * fitted after it, and a new field is part of the model once it has a history.
 */
export function carriedColumns({ rows, columns }: NamedColumns): NamedColumns {
  const width = columns.length
  if (width === 0) return { rows, columns }
  const count = rows.length / width
  const carrying = new Uint32Array(width)
  for (let row = 0; row < count; row++)
    for (let column = 0; column < width; column++) if (!Number.isNaN(rows[row * width + column]!)) carrying[column]!++
  const kept = Array.from(columns.keys()).filter((column) => carrying[column]! >= Math.max(leastRows, count / rare))
  if (kept.length === width) return { rows, columns }
  const narrow = new Float64Array(count * kept.length)
  for (let row = 0; row < count; row++)
    for (const [to, from] of kept.entries()) narrow[row * kept.length + to] = rows[row * width + from]!
  return { rows: narrow, columns: kept.map((column) => columns[column]!) }
}
