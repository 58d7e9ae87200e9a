import type { Surprisal } from './detector.ts'

/** Part of the sample that lies above the point where the fitted tail begins: that of `TailHistogram`. */
const tail = 0.05
/** Points above that point, at least. */
const minTailCount = 3

/** Mean excess over that point which is assumed beforehand, in units of the score, and how many points it weighs. */
export interface TailPrior {
  readonly excess: number
  readonly count: number
}

/** Turns a raw score into the surprisal of one like it or higher. */
export type ScoreCalibration = (score: number) => Surprisal

/**
 * Calibrates a raw score on a sample of it, sorted ascending and not empty. Up to the upper 5 % point u, surprisal is
 * -ln of the conformal p-value (V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", 2005, section
 * 2.2): (points at or above the score + 1) / (points + 1), linear between points. Beyond u the excess is taken as
 * exponential, its mean being that of the points above u and of the prior. Equal points, however many, are told apart
 * from higher scores only. Continuous, 0 up to the least point, strictly increasing without end from there on.
 */
export function calibrate(sorted: Float64Array, prior: TailPrior): ScoreCalibration {
  const n = sorted.length
  const tailCount = Math.min(n, Math.max(minTailCount, Math.ceil(tail * n)))
  const upper = sorted[n - tailCount]!
  let excess = prior.excess * prior.count
  for (let i = n - tailCount; i < n; i++) excess += sorted[i]! - upper
  const meanExcess = excess / (tailCount + prior.count)

  const points: number[] = []
  const surprisals: number[] = []
  for (let i = 0; i < n && sorted[i]! <= upper; i++) {
    if (i > 0 && sorted[i] === sorted[i - 1]) continue
    points.push(sorted[i]!)
    surprisals.push(-Math.log((n - i + 1) / (n + 1)))
  }
  const x = Float64Array.from(points)
  const y = Float64Array.from(surprisals)
  const surprisalOfUpper = y.at(-1)!

  return (score) => {
    if (score >= upper) return surprisalOfUpper + (score - upper) / meanExcess
    if (!(score > x[0]!)) return 0
    let low = 0
    let high = x.length - 1
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (x[middle]! <= score) low = middle
      else high = middle
    }
    return y[low]! + ((y[high]! - y[low]!) * (score - x[low]!)) / (x[high]! - x[low]!)
  }
}
