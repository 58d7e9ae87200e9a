import type { SeriesPoint } from '../history/history.ts'

/** Points before a point that say what is usual there. */
const before = 30
const fewest = 8

/** What was usual before each point: the median of the points before it, and three times their median distance to either side. */
export function usualRange(
  points: readonly Pick<SeriesPoint, 'value' | 'alerts'>[],
): readonly (readonly [low: number, high: number] | undefined)[] {
  const past: number[] = []
  return points.map(({ value, alerts }) => {
    const range = past.length < fewest ? undefined : rangeOf(past)
    if (value !== null && alerts === 0) past.push(value)
    if (past.length > before) past.shift()
    return range
  })
}

function rangeOf(values: readonly number[]): readonly [number, number] {
  const middle = medianOf(values)
  const spread = 3 * 1.4826 * medianOf(values.map((value) => Math.abs(value - middle)))
  return [middle - spread, middle + spread]
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? (sorted[half] ?? 0) : ((sorted[half - 1] ?? 0) + (sorted[half] ?? 0)) / 2
}
