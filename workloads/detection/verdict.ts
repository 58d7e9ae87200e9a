import type { Shape } from './evidence.ts'

/** Why an event scored as it did. */
export interface Reason {
  /** Name of the detector; "rule" for a limit that a person wrote. */
  readonly detector: string
  /** Name of the rule that was hit. */
  readonly rule?: string
  /** value, interval (seconds since the key's last event), missing features (their number), mean(features) or the name of a feature. */
  readonly feature: string
  /** Of a category, its text; `observed` is how many of the last `expected` events of the key had it. */
  readonly category?: string
  readonly observed: number | null
  /** What was expected instead, or the rule's limit; null where the detector cannot say. */
  readonly expected: number | null
  /** Share of the verdict that this reason explains, 0 to 1. */
  readonly contribution: number
  readonly shape?: Exclude<Shape, ''>
  /** Names of other detectors that found the same feature; the contribution is theirs too. */
  readonly agreeing?: readonly string[]
}

/** Why an event with a high score was not called an anomaly. */
export const suppressions = ['Learning', 'Refractory', 'Muted', 'Calendar', 'Budget'] as const
export type Suppression = (typeof suppressions)[number]

/** What a verdict had to do without. */
export const degradations = ['ModelUnavailable', 'StateUnavailable', 'SchemaFull'] as const
export type Degradation = (typeof degradations)[number]

/** What leads from a verdict back to its event. */
export interface EventReference {
  /** The event's value; absent where it has none. */
  readonly value?: number | undefined
  /** Where it stands in the topic of events; absent where events come from files. */
  readonly partition?: number | undefined
  readonly offset?: number | undefined
}

/** What is published for an event; with the reference where the pipeline keeps a history. */
export interface Verdict extends EventReference {
  readonly eventId: string
  /** The event's key. */
  readonly userId: string
  /** The event's own, by the name of the field; absent where the pipeline has none. */
  readonly secondaryKeys?: Readonly<Record<string, string>>
  /** Milliseconds since 1970; null where the event has no time. */
  readonly timestamp: number | null
  readonly isAnomaly: boolean
  /** 1 - tail probability, in [0, 1). */
  readonly anomalyScore: number
  /** The anomaly score from which on an event was called an anomaly at that moment. */
  readonly threshold: number
  /** How much of what a verdict rests on was there, 0 to 1: history of the key, fields of the event, a model. */
  readonly confidence: number
  /** Version of the model; LEARNING before there is one, NONE where the pipeline has no detector with a model. */
  readonly modelVersion: string
  /** Strongest first; one for an ordinary event, up to three for a suspicious one. */
  readonly reasons: readonly Reason[]
  readonly suppressedBy?: Suppression
  readonly degraded?: Degradation
  /** Anomaly score by detector. */
  readonly scores: Readonly<Record<string, number>>
}
