import type { Surprisal } from './detector.ts'
import { perUnitOf } from './unit.ts'

/**
 * What a series detector keeps of a key beside its vectors and calibrations, as doubles of a slot: what a value is
 * measured in, moments, level, repeats and what is usual. One value moves any of them by a bounded amount only.
 */
export const seen = 0
/** One over the unit, and the origin in units: numbers are kept in single precision from there. */
const perUnit = 1
const origin = 2
const mean = 3
export const variance = 4
/** Smoothed value, mean absolute deviation from it, deviations far beyond that in a row. */
export const level = 5
export const spread = 6
const run = 7
/** The hour that goes on and the largest score in it; where events have no time, that of the block of events. */
export const hour = 8
const largestInHour = 9
/** What the key shows now and then, where events have no time. */
const background = 10
/** How far the value was off that last differed from a constant. */
const blip = 11
/** The latest value; how often one was like the one before, of all; how often in a row now, and at most before. */
const latest = 12
const repeats = 13
const repeated = 14
const longestRepeat = 15
export const seriesDoubles = 16
/** The first values decide on unit and origin by their median; until then they are kept where moments come to be. */
export const firstValues = 3
const firstValue = mean

/** Exponential smoothing of span 24, as 2 / (span + 1); spans from 4 to 60 were measured to find as much. */
const smoothing = 0.08
/** Moments are of all history; in a longer series the past fades. */
const longestMemory = 20_000
/** A value moves mean and variance by so many standard deviations at most; in the beginning by the root of their number. */
const clip = 16
/**
 * The mean deviation from the level is moved by so many of it at most, the level by so many, for so many values in a row.
 * Clips of the level from 1.5 to 6 were measured to find as much.
 */
const spreadClip = 6
const levelClip = 3
const longestRun = 30
const firstLevel = 11
/** A sensor repeats a value in no more than this part of its history; so many repeats in a row say that it is frozen. */
const sensorRepeats = 0.1
const leastRepeat = 6
const mostFrozen = 12
/** Scores beyond the limit teach no more what is usual; limits from 6 to 8 were measured to find as much. */
const usualMost = 6.5
const usualRate = 0.1
export const hourMs = 3_600_000
export const hours = 24
/** Floats of a slot for what is usual by hour of the day. */
export const usualFloats = hours
const blockLength = 60
const backgroundRate = 0.005
/** Values are cut here, in units of the key. */
const largest = 2 ** 50

/** Keeps one of the first values; with the last of them decides on unit and origin, and answers true. */
export function beginSeries(doubles: Float64Array, d: number, i: number, value: number): boolean {
  doubles[d + firstValue + i] = value
  if (i < firstValues - 1) return false
  const [least, middle, greatest] = doubles.slice(d + firstValue, d + firstValue + firstValues).sort()
  const reference = [middle!, least!, greatest!].find((number) => number !== 0)
  doubles[d + perUnit] = reference === undefined ? 0 : perUnitOf(reference)
  doubles[d + origin] = inUnits(middle!, doubles, d)
  const gap = Math.min(inUnits(greatest!, doubles, d), -inUnits(least!, doubles, d))
  doubles[d + mean] = 0
  doubles[d + variance] = gap * gap
  doubles[d + level] = 0
  doubles[d + spread] = gap
  return true
}

/** From the origin. */
export function inUnits(value: number, doubles: Float64Array, d: number): number {
  if (doubles[d + perUnit] === 0 && value !== 0) doubles[d + perUnit] = perUnitOf(value)
  return clamp(value * doubles[d + perUnit]!, largest) - doubles[d + origin]!
}

/** The number that lies so many units, in single precision, from the origin; 0 where nothing but their rounding is left. */
export function fromUnits(units: number, doubles: Float64Array, d: number): number {
  const from = doubles[d + origin]!
  const sum = from + units
  if (Math.abs(sum) <= Math.abs(from) * 2 ** -23) return 0
  return clamp(sum / (doubles[d + perUnit]! || 1), Number.MAX_VALUE)
}

/** In a constant series no scale says what one value means: the second that differs is learnt, as far as the first did. */
export function trusted(doubles: Float64Array, d: number, x: number): number {
  const deviation = x - doubles[d + mean]!
  if (doubles[d + variance]! > 0 || deviation === 0) return x
  const former = doubles[d + blip]!
  doubles[d + blip] = Math.abs(deviation)
  return doubles[d + mean]! + clamp(deviation, former)
}

export function learnMoments(doubles: Float64Array, d: number, i: number, x: number): void {
  const weight = Math.max(1 / (i + 1), 1 / longestMemory)
  const edge = doubles[d + variance]! > 0 ? Math.min(clip, Math.sqrt(i)) * Math.sqrt(doubles[d + variance]!) : largest
  const deviation = clamp(x - doubles[d + mean]!, edge)
  doubles[d + mean] = doubles[d + mean]! + weight * deviation
  doubles[d + variance] = (1 - weight) * (doubles[d + variance]! + weight * deviation * deviation)
}

/** Learns the level; answers how many mean deviations the value was away from it, NaN where that cannot be told. */
export function learnLevel(doubles: Float64Array, d: number, i: number, x: number): number {
  let deviation = x - doubles[d + level]!
  const size = Math.abs(deviation)
  const usual = doubles[d + spread]!
  const ratio = i < firstLevel || (usual === 0 && size > 0) ? Number.NaN : size === 0 ? 0 : size / usual
  const weight = Math.max(1 / i, 1 / longestMemory)
  const learnt = usual === 0 ? size : Math.min(size, Math.min(spreadClip, Math.sqrt(i)) * usual)
  const now = usual + weight * (learnt - usual)
  doubles[d + spread] = now
  if (now > 0 && size > levelClip * now) {
    doubles[d + run] = doubles[d + run]! + 1
    if (doubles[d + run]! <= longestRun) deviation = clamp(deviation, levelClip * now)
  } else doubles[d + run] = 0
  doubles[d + level] = doubles[d + level]! + smoothing * deviation
  return ratio
}

/**
 * Surprisal of a value that does not move any more, where it usually does: the chance of so many repeats in a row. It counts
 * once they are more than the key has shown before.
 */
export function learnRepeats(doubles: Float64Array, d: number, i: number, x: number): Surprisal {
  const isRepeat = x === doubles[d + latest]!
  const share = doubles[d + repeats]!
  const row = doubles[d + repeated]!
  const longest = doubles[d + longestRepeat]!
  doubles[d + latest] = x
  doubles[d + repeats] = share + Math.max(1 / i, 1 / longestMemory) * ((isRepeat ? 1 : 0) - share)
  if (!isRepeat) {
    doubles[d + longestRepeat] = Math.max(row, longest * (1 - 1 / longestMemory))
    doubles[d + repeated] = 0
    return 0
  }
  doubles[d + repeated] = row + 1
  if (share > sensorRepeats || row + 1 < leastRepeat || row + 1 <= 1.5 * longest + 1) return 0
  return Math.min(mostFrozen, -(row + 1) * Math.log(Math.max(share, 1 / i)))
}

/** What the key usually shows around this hour of the day; learns this score. */
export function usualScore(
  doubles: Float64Array,
  d: number,
  floats: Float32Array,
  h: number,
  i: number,
  time: number,
  score: Surprisal,
): Surprisal {
  const bounded = Math.min(score, usualMost)
  if (Number.isNaN(time)) {
    const usual = doubles[d + background]!
    if (i % blockLength === 0) {
      doubles[d + background] = usual + backgroundRate * (doubles[d + largestInHour]! - usual)
      doubles[d + largestInHour] = 0
    }
    doubles[d + largestInHour] = Math.max(doubles[d + largestInHour]!, bounded)
    return usual
  }
  const now = Math.floor(time / hourMs)
  const former = doubles[d + hour]!
  if (now > former) {
    const place = h + (former % hours)
    floats[place] = floats[place]! + usualRate * (doubles[d + largestInHour]! - floats[place]!)
    doubles[d + hour] = now
    doubles[d + largestInHour] = 0
  }
  if (now >= former) doubles[d + largestInHour] = Math.max(doubles[d + largestInHour]!, bounded)
  const ofDay = ((now % hours) + hours) % hours
  return Math.max(floats[h + ((ofDay + hours - 1) % hours)]!, floats[h + ofDay]!, floats[h + ((ofDay + 1) % hours)]!)
}

function clamp(x: number, most: number): number {
  return Math.max(-most, Math.min(most, x))
}
