/** A unit is at least 2^-1000 and at most 2^1000, so that one over it is finite. */
const largestExponent = 1000

/** One over the power of two at or below the magnitude of x: multiplying by it loses nothing. */
export function perUnitOf(x: number): number {
  const exponent = Math.floor(Math.log2(Math.abs(x)))
  return 2 ** -Math.max(-largestExponent, Math.min(largestExponent, exponent))
}
