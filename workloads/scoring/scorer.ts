import type { ScoredRows } from '../detection/scored-rows.ts'
import type { TimeSpan } from '../detection/time-span.ts'

/** Rows of one batch, as the model sees events. */
export interface RowBatch {
  /** Names of the columns; a prefix of every later batch's. */
  readonly columns: readonly string[]
  /** Row-major, `count` times `columns.length`; NaN where absent. Valid until the promise settles. */
  readonly rows: Float64Array
  readonly count: number
  /** Rows with this surprisal or more are explained. */
  readonly explainFrom: number
  /** A number a row that tells keys apart; absent: all rows are one key's. */
  readonly keyIds?: Uint32Array | undefined
  /** Of the rows' events; absent where they have no time. */
  readonly times?: TimeSpan | undefined
  /** The models do not learn these rows: they come again, or are nobody's events. */
  readonly scoreOnly?: boolean | undefined
}

/** Scores rows with the pipeline's models, which learn them unless they are told not to. */
export interface Scorer {
  /** @throws AppError Unavailable or DeadlineExceeded where no model answers, or not as it should */
  score(batch: RowBatch, options?: { readonly signal?: AbortSignal | undefined }): Promise<ScoredRows>
  /** Version of the model that answers now; LEARNING before there is one. */
  readonly modelVersion: string
}
