import type { Metric, Registry } from 'prom-client'

export interface WeightedHistogramOptions {
  readonly name: string
  readonly help: string
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[]
  readonly registry: Registry
}

interface Exemplar {
  readonly labelSet: { readonly trace_id: string }
  readonly value: number
  /** In seconds. */
  readonly timestamp: number
}

/** A Prometheus histogram that takes many equal observations at the cost of one. */
export class WeightedHistogram {
  readonly #options: WeightedHistogramOptions
  /** By bucket; the last is what exceeds all bounds. */
  readonly #counts: Float64Array
  #sum = 0
  /** By bucket, the trace of what was last observed there. */
  readonly #exemplars: (Exemplar | undefined)[] = []

  constructor(options: WeightedHistogramOptions) {
    this.#options = options
    this.#counts = new Float64Array(options.buckets.length + 1)
    // What a registry asks of a metric is a name and its values.
    options.registry.registerMetric(this as unknown as Metric)
  }

  get name(): string {
    return this.#options.name
  }

  /**
   * @param count how many observations have the value
   * @param traceId of one of them
   */
  observe(value: number, count = 1, traceId?: string): void {
    const { buckets } = this.#options
    let bucket = 0
    while (bucket < buckets.length && value > buckets[bucket]!) bucket++
    this.#counts[bucket] = this.#counts[bucket]! + count
    this.#sum += count * value
    if (traceId !== undefined)
      this.#exemplars[bucket] = { labelSet: { trace_id: traceId }, value, timestamp: Date.now() / 1000 }
  }

  /** As prom-client's own metrics answer. */
  async get() {
    const { name, help, buckets } = this.#options
    let count = 0
    const values = Array.from(this.#counts, (inBucket, bucket) => {
      count += inBucket
      const le = buckets[bucket] ?? '+Inf'
      return { labels: { le }, value: count, metricName: `${name}_bucket`, exemplar: this.#exemplars[bucket] }
    })
    const ends = [
      { labels: {}, value: this.#sum, metricName: `${name}_sum` },
      { labels: {}, value: count, metricName: `${name}_count` },
    ]
    return { name, help, type: 'histogram', aggregator: 'sum', values: [...values, ...ends] }
  }
}
