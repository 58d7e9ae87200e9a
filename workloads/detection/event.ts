/** One observation, decoded. Numbers that the event did not carry are NaN. */
export interface Event {
  readonly id: string
  /** Milliseconds since 1970; NaN where the event has no time and none was given on arrival. */
  readonly time: number
  /** Whose history the event belongs to. */
  readonly key: string
  readonly value: number
  /** One number per feature of the schema at the time of decoding, in its order; later features are absent. */
  readonly features: readonly number[]
  /** The text of each of the pipeline's categories, in its order; '' where the event has none. Absent where the pipeline names none. */
  readonly categories?: readonly string[]
  /** The text of each of the pipeline's secondary keys, likewise. */
  readonly secondaryKeys?: readonly string[] | undefined
  /** It brought features that the pipeline does not know and has no room for. */
  readonly isCut?: true
}
