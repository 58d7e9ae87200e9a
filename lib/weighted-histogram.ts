import type { Metric, Registry } from 'prom-client'

export interface WeightedHistogramOptions {
  readonly name: string
  readonly help: string
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[]
  readonly registry: Registry
}

/** A Prometheus histogram that takes many equal observations at the cost of one. */
export class WeightedHistogram {
  readonly #options: WeightedHistogramOptions
  /** By bucket; the last is what exceeds all bounds. */
  readonly #counts: Float64Array
  #sum = 0

  constructor(options: WeightedHistogramOptions) {
    this.#options = options
    this.#counts = new Float64Array(options.buckets.length + 1)
    // What a registry asks of a metric is a name and its values.
    options.registry.registerMetric(this as unknown as Metric)
  }

  get name(): string {
    return this.#options.name
  }

  /** @param count how many observations have the value */
  observe(value: number, count = 1): void {
    const { buckets } = this.#options
    let bucket = 0
    while (bucket < buckets.length && value > buckets[bucket]!) bucket++
    this.#counts[bucket] = this.#counts[bucket]! + count
    this.#sum += count * value
  }

  /** As prom-client's own metrics answer. */
  async get() {
    const { name, help, buckets } = this.#options
    let count = 0
    const values = Array.from(this.#counts, (inBucket, bucket) => {
      count += inBucket
      return { labels: { le: buckets[bucket] ?? '+Inf' }, value: count, metricName: `${name}_bucket` }
    })
    const ends = [
      { labels: {}, value: this.#sum, metricName: `${name}_sum` },
      { labels: {}, value: count, metricName: `${name}_count` },
    ]
    return { name, help, type: 'histogram', aggregator: 'sum', values: [...values, ...ends] }
  }
}
