import type { Part } from '../../lib/lifecycle.ts'
import type { Check } from '../../lib/probes.ts'

/**
 * Something that the recorder does with what the pipeline publishes. Each reads as a consumer group of its own: where one
 * cannot go on, the others do.
 */
export interface Duty {
  /** Names its checks and its part of the status. */
  readonly name: string
  readonly parts: readonly Part[]
  /** What a restart would heal. */
  readonly live: Check
  /** Why it cannot do its work; undefined while it can. */
  readonly ready: Check
  readonly status: () => object
}
