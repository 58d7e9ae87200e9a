import type { ScoredRows } from '../detection/scored-rows.ts'

/** Rows of one batch, as the model sees events. */
export interface RowBatch {
  /** Names of the columns; a prefix of every later batch's. */
  readonly columns: readonly string[]
  /** Row-major, `count` times `columns.length`; NaN where absent. Valid until the promise settles. */
  readonly rows: Float64Array
  readonly count: number
  /** Rows with this surprisal or more are explained. */
  readonly explainFrom: number
}

/** Scores rows with the pipeline's models, which learn them. */
export interface Scorer {
  /** @throws AppError Unavailable or DeadlineExceeded where no model answers */
  score(batch: RowBatch, options?: { readonly signal?: AbortSignal | undefined }): Promise<ScoredRows>
  /** Version of the model that answers now; LEARNING before there is one. */
  readonly modelVersion: string
}
