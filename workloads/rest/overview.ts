import type { Health } from './door.ts'

/** What a pipeline is doing at present, for whoever looks at it. */
export interface Overview {
  readonly pipeline: string
  /** Where events come from and verdicts go to, in words. */
  readonly source: string
  readonly results: string
  /** Absent where a fixed threshold decides. */
  readonly budgetPerMillion?: number | undefined
  readonly refractorySeconds: number
  readonly lastHour: {
    readonly events: number
    readonly alerts: number
    readonly episodes: number
    readonly rejected: number
  }
  readonly openEpisodes: number
  /** Whether what people say of a verdict is taken. */
  readonly takesFeedback: boolean
  readonly keys: number
  readonly modelVersion: string
  readonly eventsPerSecond: number
  /** From records read to their verdicts, of the last batches; absent before the first. */
  readonly latencyMs?: { readonly median: number; readonly p95: number } | undefined
  /** Events that came and have no verdict yet. */
  readonly waiting: number
  /** Why events could not be read, most first. */
  readonly rejected: readonly RejectedBy[]
  readonly health: Health
}

export interface RejectedBy {
  readonly reason: string
  readonly count: number
  /** The last of them: what is wrong with it, and how it begins. */
  readonly message: string
  readonly example: string
}
