import type { TraceHeaders } from '../../lib/tracing.ts'

export interface DetectOutcomeVerdict {
  readonly kind: 'verdict'
  /** The verdict as JSON text. */
  readonly json: string
  /** Whether an earlier call with this event's id got this verdict. */
  readonly replayed: boolean
}

export interface DetectOutcomeRejected {
  readonly kind: 'rejected'
  readonly reason: string
  /** The field at fault, as the event names it. */
  readonly field?: string
  readonly message: string
}

export type DetectOutcome = DetectOutcomeVerdict | DetectOutcomeRejected

export interface DetectOptions {
  /** What the call continues. */
  readonly trace?: TraceHeaders | undefined
  readonly signal?: AbortSignal | undefined
}

export interface ComponentHealth {
  readonly status: 'UP' | 'DOWN'
  readonly details?: Readonly<Record<string, unknown>>
}

export interface Health {
  /** DEGRADED: answers, but has to do without something. */
  readonly status: 'UP' | 'DEGRADED' | 'DOWN'
  readonly components: Readonly<Record<string, ComponentHealth>>
  readonly modelVersion?: string
}

/** An event as it came. */
export interface EventBody {
  /** JSON. */
  readonly text: string
  /** The same, parsed: a JSON value of any kind. */
  readonly value: unknown
}

/** What answers behind the REST routes. */
export interface DetectionDoor {
  /**
   * One outcome per event, in order. Rejects with an AppError where it
   * cannot answer: Unavailable, DeadlineExceeded.
   */
  detect(bodies: readonly EventBody[], options?: DetectOptions): Promise<readonly DetectOutcome[]>
  /** The verdict of a recent event as JSON text; undefined where there is none (any more). */
  result(eventId: string): Promise<string | undefined>
  health(): Health
}
