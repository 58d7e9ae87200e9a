import { Counter, type Registry } from 'prom-client'

/** What went wrong with the stream since the process started: metrics, and counts for the status. */
export class StreamIncidents {
  readonly #offsetsLost: Counter
  readonly #topicRemade: Counter
  readonly #counts = { offsetsLost: 0, unprocessable: 0, topicsRemade: 0 }

  constructor(registry: Registry) {
    this.#offsetsLost = new Counter({
      name: 'anomaly_consumer_offsets_lost_total',
      help: 'Records that were gone from the log before they were read',
      registers: [registry],
    })
    this.#topicRemade = new Counter({
      name: 'anomaly_consumer_topic_remade_total',
      help: 'Partitions that began anew because their topic was deleted and made anew',
      registers: [registry],
    })
  }

  get counts(): Readonly<Record<'offsetsLost' | 'unprocessable' | 'topicsRemade', number>> {
    return this.#counts
  }

  offsetsLost(count: number): void {
    this.#counts.offsetsLost += count
    this.#offsetsLost.inc(count)
  }

  topicRemade(): void {
    this.#counts.topicsRemade++
    this.#topicRemade.inc()
  }

  /** A record that could not be processed; the metric of rejections counts it. */
  setAside(): void {
    this.#counts.unprocessable++
  }
}
