/** One column's part in a row's score. */
export interface RowExplanation {
  /** Index of the model's detector. */
  readonly model: number
  readonly column: string
  readonly observed: number | null
  readonly expected: number | null
  /** Share of the model's surprisal, 0 to 1. */
  readonly contribution: number
}

/** What models say of a batch of rows. */
export interface ScoredRows {
  /** Version of the model that scored the row; LEARNING where there was none yet. It may change within a batch. */
  modelVersionOf(row: number): string
  /** By detector, then by row; NaN for a row that was only learnt, since no model had been fitted yet. */
  readonly surprisals: readonly Float64Array<ArrayBufferLike>[]
  /** By index of the row, for rows surprising enough to be worth it. */
  readonly explanations: ReadonlyMap<number, readonly RowExplanation[]>
}
