import type { KafkaSettings } from '../../lib/kafka/client.ts'
import type { OutgoingRecord, StreamRecord, TopicPartition } from '../../lib/kafka/records.ts'
import { type ExactlyOnce, type ExactlyOnceOptions, runExactlyOnce } from './exactly-once.ts'
import type { Part, Problem } from './problem.ts'
import type { EventStream, StreamHandler } from './stream.ts'

export interface KafkaStreamOptions extends Omit<ExactlyOnceOptions, 'handler'> {
  /** Stands in for a record that alone exceeds what its topic takes. */
  readonly tooLarge: (record: OutgoingRecord) => OutgoingRecord
  /** Stands in for what comes of a record that the handler fails on, alone, again and again, and by no server's fault. */
  readonly unprocessable: (record: StreamRecord, of: TopicPartition, error: unknown) => OutgoingRecord
  /** Such a stand-in is published. */
  readonly onSetAside: () => void
}

/** A topic's partitions as far as the group assigns them to this process; each batch with what it produces in one transaction. */
export class KafkaStream implements EventStream {
  readonly #settings: KafkaSettings
  readonly #options: KafkaStreamOptions
  #loop: ExactlyOnce | undefined

  constructor(settings: KafkaSettings, options: KafkaStreamOptions) {
    this.#settings = settings
    this.#options = options
  }

  /** Why nothing is read; undefined while it is. */
  problem(): Problem | undefined {
    return this.#loop === undefined ? notStarted : this.#loop.problem()
  }

  /** The same of one part, in words. */
  problemOf(part: Part): string | undefined {
    if (this.#loop !== undefined) return this.#loop.problemOf(part)
    return part === notStarted.part ? notStarted.message : undefined
  }

  /** When the loop last turned, or the batch in work made progress, by `performance.now()`. */
  polledAt(): number {
    return this.#loop?.polledAt() ?? performance.now()
  }

  /** The handler waits for something with good reason. */
  waiting(): void {
    this.#loop?.waiting()
  }

  lag(): ReadonlyMap<number, number> {
    return this.#loop?.lag() ?? new Map()
  }

  /** Never ends by itself: whatever fails is tried again until the signal aborts. */
  async consume(handler: StreamHandler, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { signal } = options
    const { tooLarge, unprocessable, onSetAside, ...rest } = this.#options
    if (signal?.aborted === true) return
    const loop = runExactlyOnce(this.#settings, {
      ...rest,
      handler: {
        assigned: ({ partition }) => handler.assigned(partition),
        batch: (batch, aborted) => handler.batch(batch, aborted),
        committed: ({ partition }) => handler.committed(partition),
        dropped: ({ partition }) => handler.dropped(partition),
        releasing: (partitions) => handler.releasing(partitions.map(({ partition }) => partition)),
        revoked: ({ partition }) => handler.revoked(partition),
        tooLarge,
        unprocessable,
        setAside: onSetAside,
      },
    })
    this.#loop = loop
    await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }))
    await loop.stop()
  }
}

const notStarted: Problem = { part: 'kafka', message: 'not started' }
