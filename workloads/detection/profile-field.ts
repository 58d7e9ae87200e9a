import { TailHistogram, type TailShape } from './tail-histogram.ts'
import { perUnitOf } from './unit.ts'

/** ln of a deviation in spreads. */
export const logDeviation: TailShape = {
  bins: 160,
  min: -6,
  width: 0.1,
  capacity: 16_000,
  priorShape: 0.3,
  priorCount: 20,
}

/** What all keys show is learnt with at least this weight a number. */
const weightCap = 20_000
/** The edge of what all keys show, in its spreads: wide enough for a field that is 0 but for one event in a thousand. */
const widestEdge = 32
/** Numbers that decide together what the field's unit and origin are. */
const firstNumbers = 3
/** In units of the field. A product of two is finite, and each fits single precision. */
const largest = 2 ** 100

/** Running location and spread of a stream of numbers, in which one number never weighs more than another. */
export class RobustMoments {
  weight = 0
  mean = 0
  /** Root of the variance. */
  spread = 0

  /**
   * Takes in a number that may lie `edge` spreads from the mean, and is cut there if it lies further. The edge grows as
   * the root of the weight: one number moves the mean by 1/sqrt(weight) spreads and doubles the variance at most.
   */
  learn(x: number, leastSpread: number): void {
    this.weight = Math.min(this.weight + 1, weightCap)
    const rate = 1 / this.weight
    const edge = Math.min(widestEdge, Math.sqrt(this.weight)) * Math.max(this.spread, leastSpread)
    const delta = Math.max(-edge, Math.min(edge, x - this.mean))
    this.mean += rate * delta
    this.spread = Math.sqrt((1 - rate) * (this.spread * this.spread + rate * delta * delta))
  }
}

/**
 * One field over all keys. Numbers are kept in units of the field, a power of two, from its origin: so 32 bits are
 * enough for any offset and magnitude, and nothing depends on what the field is measured in. The first three numbers
 * other than 0 decide on both by their median, since one of them may be anything.
 */
export class ProfileField {
  /** One over the field's unit; 0 until it is decided. Zeros need none. */
  #perUnit = 0
  /** In units; 0 if the field was 0 before its unit was decided. */
  #origin = 0
  #first: number[] = []
  readonly overKeys = new RobustMoments()
  /** Of a number around the location of its own key. */
  readonly withinKeys = new RobustMoments()
  /** ln of deviations from what was expected of the key, in spreads. */
  readonly tail = new TailHistogram(logDeviation)

  static readonly bytes = 8 * (2 + firstNumbers + 6) + new TailHistogram(logDeviation).bytes

  /** Begins with what is known of all keys already, in the field's own numbers. */
  begin(known: {
    readonly origin: number
    readonly weight: number
    readonly mean: number
    readonly spread: number
  }): void {
    const magnitude = Math.max(Math.abs(known.mean), known.spread)
    if (magnitude > 0) {
      this.#perUnit = perUnitOf(magnitude)
      this.#origin = bounded(known.origin * this.#perUnit)
    }
    this.overKeys.weight = known.weight
    this.overKeys.mean = bounded(known.mean * this.#perUnit) - this.#origin
    this.overKeys.spread = this.inUnits(known.spread)
  }

  /** A difference of two numbers. */
  inUnits(difference: number): number {
    return bounded(difference * this.#perUnit)
  }

  /** Whether the number can be learnt: not before the unit is decided, unless it is 0. */
  settle(x: number): boolean {
    if (this.#perUnit !== 0 || x === 0) return true
    this.#first.push(x)
    if (this.#first.length < firstNumbers) return false
    const [least, middle, greatest] = this.#first.sort(ascending) as [number, number, number]
    const magnitude = this.#first.map(Math.abs).sort(ascending)[1]!
    this.#first = []
    if (this.overKeys.weight > 0) {
      this.#perUnit = perUnitOf(magnitude)
      this.overKeys.spread = Math.sqrt(firstNumbers / Math.max(firstNumbers, this.overKeys.weight))
      return true
    }
    this.#perUnit = perUnitOf(middle)
    this.#origin = bounded(middle * this.#perUnit)
    this.overKeys.weight = firstNumbers - 1
    this.overKeys.spread = Math.min(this.ofNumber(greatest), -this.ofNumber(least))
    return true
  }

  /** The number in units of the field, from its origin. Before a unit is decided, its own magnitude stands in. */
  ofNumber(x: number): number {
    if (x === 0) return -this.#origin
    return bounded(x * (this.#perUnit === 0 ? perUnitOf(x) : this.#perUnit)) - this.#origin
  }

  /** The number that is so many units from the origin. */
  toNumber(units: number): number {
    const number = (units + this.#origin) / (this.#perUnit === 0 ? 1 : this.#perUnit)
    return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, number))
  }

  /** The same for what is expected; 0 where that is nothing but the fading rest of an old number. */
  expectedNumber(units: number): number {
    return Math.abs(units + this.#origin) < 1e-3 * this.overKeys.spread ? 0 : this.toNumber(units)
  }

  /** Below this, differences between numbers at this place are roundings. */
  leastSpread(units: number): number {
    return Math.max(2 ** -45 * Math.abs(units + this.#origin), 2 ** -60)
  }

  /** `bytes` bytes, little-endian. */
  save(into: DataView, offset: number): void {
    const { overKeys, withinKeys } = this
    const numbers = [
      this.#perUnit,
      this.#origin,
      ...Array.from({ length: firstNumbers }, (_, i) => this.#first[i] ?? Number.NaN),
      ...[overKeys, withinKeys].flatMap(({ weight, mean, spread }) => [weight, mean, spread]),
    ]
    numbers.forEach((number, i) => {
      into.setFloat64(offset + 8 * i, number, true)
    })
    this.tail.save(into, offset + 8 * numbers.length)
  }

  /** Reads what `save` wrote. */
  load(from: DataView, offset: number): void {
    let at = offset
    const next = () => {
      at += 8
      return from.getFloat64(at - 8, true)
    }
    this.#perUnit = next()
    this.#origin = next()
    this.#first = Array.from({ length: firstNumbers }, next).filter((number) => !Number.isNaN(number))
    for (const moments of [this.overKeys, this.withinKeys]) {
      moments.weight = next()
      moments.mean = next()
      moments.spread = next()
    }
    this.tail.load(from, at)
  }
}

function bounded(units: number): number {
  return Math.max(-largest, Math.min(largest, units))
}

function ascending(one: number, other: number): number {
  return one - other
}
