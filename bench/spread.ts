export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

/** To three significant digits. */
export function spread(numbers: readonly number[]): Spread {
  const sorted = numbers.toSorted((a, b) => a - b)
  const at = (place: number): number => Number(sorted[place]!.toPrecision(3))
  return { min: at(0), median: at(sorted.length >> 1), max: at(sorted.length - 1) }
}

/** The number below which `share` of the numbers lie. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}
