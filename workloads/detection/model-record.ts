import type { TimeSpan } from './time-span.ts'

/** Two models on the same rows. */
export interface Comparison {
  readonly rows: number
  /** Share of the rows that is at least as surprising as the threshold, to the one that serves and to the other. */
  readonly presentRate: number
  readonly candidateRate: number
  /** Spearman's rank correlation; null where one of them finds all rows alike. */
  readonly agreement: number | null
}

/**
 * What became of a candidate. First: there was none before. Young: the one before had seen too little to be a measure.
 * TookOver: within bounds. Refused: out of bounds. Forced: out of bounds, as several before it: the stream is so now.
 */
export const takeoverOutcomes = ['First', 'Young', 'TookOver', 'Refused', 'Forced'] as const
export type TakeoverOutcome = (typeof takeoverOutcomes)[number]

export interface Takeover {
  readonly outcome: TakeoverOutcome
  readonly comparison?: Comparison | undefined
  /** Why it is out of bounds. */
  readonly reason?: string | undefined
}

/** What is known of a fitted model. */
export interface ModelRecord extends Takeover {
  readonly version: string
  /** Rows that it stands for. */
  readonly rowsSeen: number
  readonly columns: readonly string[]
  /** Times of the first and the last event that it stands for; absent where events have none. */
  readonly times?: TimeSpan | undefined
  /** Milliseconds since 1970; absent over past data. */
  readonly fittedAt?: number | undefined
  /** Length of the artifact, and its SHA-256 in hexadecimal digits. */
  readonly bytes: number
  readonly checksum: string
}

/** What the pipeline names and cannot be served, in words. */
export interface ModelProblems {
  readonly pin?: string | undefined
  readonly challenger?: string | undefined
}

/** Models that are kept beside those in use: the last ones. */
export const keptModels = 5
/** Fewer where they are large: together they have at most so many bytes. */
export const keptModelBytes = 32 * 2 ** 20

/** The records that stay, newest first: the last ones as far as there is room, and those that are in use. */
export function keptOf(records: readonly ModelRecord[], inUse: ReadonlySet<string>): readonly ModelRecord[] {
  let [count, bytes] = [0, 0]
  return records.filter((record) => {
    count++
    bytes += record.bytes
    return inUse.has(record.version) || count === 1 || (count <= keptModels && bytes <= keptModelBytes)
  })
}

/** Candidates that were refused since the last one took over. */
export function refusalsOf(records: readonly ModelRecord[]): number {
  const last = records.findIndex(({ outcome }) => outcome !== 'Refused')
  return last < 0 ? records.length : last
}
