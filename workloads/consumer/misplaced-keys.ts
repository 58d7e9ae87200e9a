import { Counter, type Registry } from 'prom-client'
import type { Logger } from '../../lib/log.ts'
import type { ProcessedBatch } from '../judging/processor.ts'
import { recordKeyText } from '../wire/record-key.ts'

/** Notices records whose keys are not those of their events: such a key has a profile in every partition. */
export class MisplacedKeys {
  readonly #counter: Counter
  readonly #log: Logger
  /** Whether there ever was one. */
  wereSeen = false

  constructor(registry: Registry, log: Logger) {
    this.#log = log
    this.#counter = new Counter({
      name: 'anomaly_consumer_misplaced_batches_total',
      help: 'Batches whose first record had another key than its event: such a key has a profile in every partition',
      registers: [registry],
    })
  }

  /** Looks at the first event of a batch; what it answers with is called when the batch takes effect. */
  observe({ batch, events }: ProcessedBatch): () => void {
    const at = events.findIndex((event) => event !== undefined)
    const isMisplaced = at >= 0 && (recordKeyText(batch.records[at]!.key) ?? '') !== events[at]!.key
    const { topic, partition } = batch
    return () => {
      if (isMisplaced) this.#notice(topic, partition)
    }
  }

  #notice(topic: string, partition: number): void {
    this.#counter.inc()
    if (this.wereSeen) return
    this.wereSeen = true
    this.#log.warn(
      { topic, partition },
      "record keys are not the events' keys: a key has a profile in every partition that it occurs in",
    )
  }
}
