/**
 * The baseline that every detector here has to beat: how many standard deviations a value is from the exponentially
 * weighted mean of its key (West 1979, "Updating mean and variance estimates", with weights that halve every
 * `halfLifeEvents` of the key's events; the first events weigh equally).
 */
export interface Ewz {
  /**
   * Mean over the values of |z|, against what the key showed before; then learns them. 0 while nothing varies yet. NaN
   * says nothing and is not learnt.
   */
  score(key: string | number, values: readonly number[] | Float64Array): number
}

interface Moments {
  events: number
  readonly mean: Float64Array
  readonly variance: Float64Array
}

export function ewz({ halfLifeEvents = 500 }: { readonly halfLifeEvents?: number } = {}): Ewz {
  const forgetting = 1 - 2 ** (-1 / halfLifeEvents)
  const keys = new Map<string | number, Moments>()
  return {
    score(key, values) {
      let moments = keys.get(key)
      if (!moments) {
        moments = { events: 0, mean: new Float64Array(values.length), variance: new Float64Array(values.length) }
        keys.set(key, moments)
      }
      const { mean, variance } = moments
      const weight = Math.max(1 / ++moments.events, forgetting)
      let sum = 0
      let present = 0
      for (let column = 0; column < mean.length; column++) {
        if (Number.isNaN(values[column]!)) continue
        present++
        const deviation = values[column]! - mean[column]!
        if (variance[column]! > 0) sum += Math.abs(deviation) / Math.sqrt(variance[column]!)
        mean[column] = mean[column]! + weight * deviation
        variance[column] = (1 - weight) * (variance[column]! + weight * deviation * deviation)
      }
      return present === 0 ? 0 : sum / present
    },
  }
}
