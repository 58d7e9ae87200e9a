import type { TraceHeaders } from '../../lib/tracing.ts'
import type { Event } from '../detection/event.ts'
import type { DetectOutcome, Stored } from '../rest/door.ts'
import type { EventPlace } from '../state/state.ts'

/** An event on its way through the door. */
export interface Job {
  readonly event: Event
  /** The event has no id of its own: nobody can send it a second time. */
  readonly isIdAssigned: boolean
  /** JSON, as it is published. */
  readonly value: Buffer
  /** Of its body; empty where it has no id of its own. */
  readonly fingerprint: string
  /** Where it will be if it is published. */
  readonly place: EventPlace
  /** Monotonic time in ms. */
  readonly began: number
  readonly trace: TraceHeaders | undefined
  /** It is known that nobody had the id before: of an event that came to nothing, nothing is stored then. */
  isFirst: boolean
  /** What is known of it in the topic. */
  stored: Stored
  /** Its caller was told that nothing is stored: nothing will be. */
  isWithdrawn: boolean
  /** What became of it in the end; never rejects. Callers wait for it no longer than their deadline. */
  readonly outcome: Promise<DetectOutcome>
  readonly settle: (outcome: DetectOutcome) => void
}

export interface JudgedJob {
  readonly job: Job
  readonly isAnomaly: boolean
  /** The verdict, as it is published and answered. */
  readonly json: string
}

type Given = 'fingerprint' | 'event' | 'isIdAssigned' | 'value' | 'place' | 'began' | 'trace'

export function newJob(given: Pick<Job, Given>): Job {
  const { promise: outcome, resolve: settle } = Promise.withResolvers<DetectOutcome>()
  const stored = unsent({ isFirst: given.isIdAssigned })
  return { ...given, isFirst: given.isIdAssigned, stored, isWithdrawn: false, outcome, settle }
}

/** What is known of an event that this process has not sent. */
export function unsent({ isFirst }: Pick<Job, 'isFirst'>): Stored {
  return isFirst ? 'Nothing' : 'Unknown'
}
