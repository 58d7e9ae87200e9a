/**
 * A regression set for detectors of one series: seeded series of several natures, each with an anomaly of a known kind put in.
 * It guards against a detector that shines on one collection and fails on others.
 */

export const seriesNatures = ['season', 'walk', 'bursts', 'flat'] as const
export type SeriesNature = (typeof seriesNatures)[number]

export const anomalyKinds = [
  'spike',
  'short burst',
  'level shift',
  'variance',
  'frozen',
  'reversed',
  'shuffled',
] as const
export type AnomalyKind = (typeof anomalyKinds)[number]

export interface InjectedSeries {
  readonly values: number[]
  /** Indices of the anomaly's first and last value. */
  readonly first: number
  readonly last: number
}

/** Values of a day of the seasonal natures. */
const day = 288

/** 2,000 to 2,500 values. The anomaly begins 500 before the end. In flat noise, reversed and shuffled are no anomalies. */
export function injectedSeries(nature: SeriesNature, kind: AnomalyKind, seed: number): InjectedSeries {
  const random = randomOf(1_000 + seed)
  const first = 1_500 + Math.floor(500 * random())
  const values = normalSeries(nature, first + 500, seed)
  return { values, first, last: first + injectAnomaly(kind, values, first, random) - 1 }
}

/** A series without anomalies. */
export function normalSeries(nature: SeriesNature, length: number, seed: number): number[] {
  const random = randomOf(seed)
  const normal = normalOf(random)
  let state = 0
  const course = (i: number) => (2 * Math.PI * i) / day
  const next: Record<SeriesNature, (i: number) => number> = {
    // The load of a machine.
    season: (i) => 50 + 20 * Math.sin(course(i)) + 8 * Math.sin(2 * course(i) + 1) + 1.5 * normal(),
    // A temperature: wanders, and returns slowly.
    walk: () => {
      state = 0.995 * state + normal()
      return 20 + state
    },
    // Requests a minute: a daily course, and bursts that die away.
    bursts: (i) => {
      state = 0.7 * state + (random() < 0.02 ? 10 * random() ** -0.5 : 0)
      return Math.max(0, Math.round((6 + 4 * Math.sin(course(i)) + state) * (1 + 0.25 * normal())))
    },
    // A voltage.
    flat: () => 230 + normal(),
  }
  return Array.from({ length }, (_, i) => next[nature](i))
}

/**
 * Puts the anomaly in at `first`; returns the number of values it covers, 120 at most. Its size is measured by the hundred
 * values before it. @param random uniform on (0, 1)
 */
export function injectAnomaly(kind: AnomalyKind, values: number[], first: number, random: () => number): number {
  const normal = normalOf(random)
  const sign = random() < 0.5 ? -1 : 1
  const local = deviationOf(values.slice(Math.max(0, first - 100), first))
  const change = (length: number, to: (value: number) => number) => {
    for (let i = first; i < first + length; i++) values[i] = to(values[i]!)
    return length
  }
  const replace = (segment: readonly number[]) => {
    segment.forEach((value, i) => {
      values[first + i] = value
    })
    return segment.length
  }
  switch (kind) {
    case 'spike':
      return change(1, (value) => value + sign * (5 + 3 * random()) * local)
    case 'short burst':
      return change(random() < 0.5 ? 2 : 3, (value) => value + sign * (4 + 2 * random()) * local)
    case 'level shift': {
      const size = sign * (2 + 2 * random()) * local
      return change(120, (value) => value + size)
    }
    case 'variance':
      return change(60, (value) => value + 2 * local * normal())
    case 'frozen': {
      const stuck = values[first]!
      return change(100, () => stuck)
    }
    case 'reversed':
      return replace(values.slice(first, first + 100).reverse())
    case 'shuffled':
      return replace(shuffle(values.slice(first, first + 100), random))
  }
}

function deviationOf(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
}

/** Fisher and Yates, in place. */
function shuffle<T>(items: T[], random: () => number): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const item = items[i]!
    items[i] = items[j]!
    items[j] = item
  }
  return items
}

/** Uniform on (0, 1): mulberry32 (T. Ettinger, 2017). */
function randomOf(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b9)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4_294_967_296
  }
}

/** Standard normal, from two uniform numbers (Box & Muller 1958). */
function normalOf(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random())
}
