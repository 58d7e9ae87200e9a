import type { Surprisal } from './detector.ts'
import { hour, hourMs, hours } from './series-memory.ts'

/** Floats of a slot: the mean of each hour of the day, NaN where there was none; from `sum` on, numbers beside them. */
const sum = hours
/** Values of the hour that goes on. */
const count = hours + 1
/** Hours that were held against those of former days, and how far they lay apart in the mean. */
const compared = hours + 2
const typical = hours + 3
/** Deviations of the last hours, smoothed, in typical ones; the largest such number so far. */
const drift = hours + 4
const record = hours + 5
export const trendFloats = hours + 6

/** A week of hours and a day are no history: until then the record alone is learnt. */
const leastCompared = 7 * hours
/** A day has at least this weight in what is expected of its hours. */
const leastRate = 0.15
const leastTypicalRate = 0.005
/** One hour moves the drift by six typical deviations at most, what is expected by four, and what is typical to four. */
const mostDeviations = 6
const mostLearnt = 4
const smoothing = 0.25
/** A drift counts from so many times the record on, and from so many typical deviations. */
const beyondRecord = 1.5
const leastDrift = 1
/** The record fades by this factor an hour. */
const fading = 1 - 1 / 2000
const least: Surprisal = 6
const perNat = 2.25

export function beginTrend(floats: Float32Array, t: number): void {
  floats.fill(Number.NaN, t, t + hours)
}

/**
 * A slow trend, such as a leak: the mean of an hour is held against that of the same hour of former days, and these deviations are
 * smoothed (an EWMA chart: S. W. Roberts, "Control Chart Tests Based on Geometric Moving Averages", Technometrics 1, 1959). It
 * is surprising once it goes half again beyond all that the key has shown, which is then its record: so it speaks once a trend.
 */
export class Trend {
  /** How far the hour that ended last lay from what was expected, in units. */
  deviation = 0

  /** Learns the value; speaks with the first of an hour. To be asked before what is usual by hour learns the time. */
  observe(doubles: Float64Array, d: number, floats: Float32Array, t: number, time: number, x: number): Surprisal {
    const now = Math.floor(time / hourMs)
    const former = doubles[d + hour]!
    // No time, or a late one.
    if (!(now >= former)) return 0
    let surprisal = 0
    if (now > former && floats[t + count]! > 0) {
      surprisal = this.#compare(floats, t, ((former % hours) + hours) % hours)
      floats[t + sum] = 0
      floats[t + count] = 0
    }
    floats[t + sum] = floats[t + sum]! + x
    floats[t + count] = floats[t + count]! + 1
    return surprisal
  }

  /** Holds the hour that has ended against those of former days, and learns it. */
  #compare(floats: Float32Array, t: number, ofDay: number): Surprisal {
    const mean = floats[t + sum]! / floats[t + count]!
    const expected = floats[t + ofDay]!
    if (Number.isNaN(expected)) {
      floats[t + ofDay] = mean
      return 0
    }
    this.deviation = mean - expected
    const before = floats[t + typical]!
    const surprisal = before > 0 ? this.#drift(floats, t, clamp(this.deviation / before, mostDeviations)) : 0
    const known = floats[t + compared]! + 1
    floats[t + compared] = known
    const size = known > 10 ? Math.min(Math.abs(this.deviation), mostLearnt * before) : Math.abs(this.deviation)
    const now = before + Math.max(1 / known, leastTypicalRate) * (size - before)
    floats[t + typical] = now
    const rate = Math.max(1 / (1 + Math.ceil(known / hours)), leastRate)
    floats[t + ofDay] = expected + rate * clamp(this.deviation, mostLearnt * now)
    return surprisal
  }

  #drift(floats: Float32Array, t: number, deviations: number): Surprisal {
    const smoothed = floats[t + drift]! + smoothing * (deviations - floats[t + drift]!)
    const most = floats[t + record]!
    floats[t + drift] = smoothed
    floats[t + record] = Math.max(most * fading, Math.abs(smoothed))
    const edge = Math.max(beyondRecord * most, leastDrift)
    if (floats[t + compared]! < leastCompared || Math.abs(smoothed) <= edge) return 0
    return least + perNat * Math.log(Math.abs(smoothed) / edge)
  }
}

function clamp(x: number, most: number): number {
  return Math.max(-most, Math.min(most, x))
}
