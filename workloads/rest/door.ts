import { AppError, type ErrorCode } from '../../lib/errors.ts'
import type { TraceHeaders } from '../../lib/tracing.ts'
import type { SaidStore } from '../state/said.ts'
import type { FeedbackBody } from '../wire/feedback-record.ts'

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

/** The door could not answer for this event, whatever became of others. */
export interface DetectOutcomeFailed {
  readonly kind: 'failed'
  readonly error: unknown
}

export type DetectOutcome = DetectOutcomeVerdict | DetectOutcomeRejected | DetectOutcomeFailed

/** What became of an event that was not answered. Unknown: it may be stored; the same event again finds out. */
export type Stored = 'Nothing' | 'Unknown'

/** No answer now, and what is known of the event: the same again is safe, and worth while. */
export class DetectError extends AppError {
  readonly stored: Stored

  constructor(
    stored: Stored,
    message: string,
    { code = 'Unavailable', ...options }: { readonly cause?: unknown; readonly code?: ErrorCode } = {},
  ) {
    super(code, message, options)
    this.stored = stored
  }
}

/** What is answered to an id that came before with another body. */
export function idReused(eventId: string): DetectOutcomeRejected {
  const message = `${JSON.stringify(eventId)} came before with another body: one id is one event`
  return { kind: 'rejected', reason: 'EventIdReused', message }
}

export interface DetectOptions {
  /** What the call continues. */
  readonly trace?: TraceHeaders | undefined
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
   * One outcome per event, in order. Rejects with a DetectError where it
   * takes none of them.
   */
  detect(bodies: readonly EventBody[], options?: DetectOptions): Promise<readonly DetectOutcome[]>
  /** The verdict of a recent event as JSON text; undefined where there is none (any more). */
  result(eventId: string): Promise<string | undefined>
  /**
   * Takes what somebody said of an event, to be learnt; absent where the pipeline learns from none. False: nothing is known
   * of the event any more, and no verdict came along. Rejects with a DetectError where it cannot be stored now.
   */
  readonly feedback?: ((said: FeedbackBody) => Promise<boolean>) | undefined
  /** What was said and learnt, newest first; absent where the pipeline learns from none. */
  readonly said?: SaidStore['list'] | undefined
  health(): Health
}
