import type { Reason } from './verdict.ts'

/** Withdrawn: what was said before is taken back. */
export const feedbackLabels = ['Confirmed', 'FalseAlarm', 'Withdrawn'] as const
export type FeedbackLabel = (typeof feedbackLabels)[number]

/** What somebody said of an event, beside what its verdict said. */
export interface Feedback {
  readonly eventId: string
  readonly key: string
  /** The event's own, in the order of the pipeline's. */
  readonly secondaryKeys?: readonly string[] | undefined
  readonly label: FeedbackLabel
  /** When it was said, in ms since 1970 by the clock of the events; NaN where they have no time. */
  readonly time: number
  /** Who said it; absent where nobody is known by name. */
  readonly by?: string | undefined
  readonly anomalyScore: number
  readonly reasons: readonly Reason[]
  /** Of the verdict; absent where it was not said. */
  readonly modelVersion?: string | undefined
}

/** What was learnt of an event, as it was said last. */
export interface Said {
  readonly eventId: string
  readonly userId: string
  readonly label: Exclude<FeedbackLabel, 'Withdrawn'>
  /** When it was said, in ms since 1970. */
  readonly time: number
  /** By whom; null where nobody is known by name. */
  readonly by: string | null
  /** When it was taken back; null where it was not. */
  readonly withdrawnAt: number | null
  readonly anomalyScore: number
  /** What made the event stand out: the pattern that was spoken of. */
  readonly reasons: readonly Reason[]
}
