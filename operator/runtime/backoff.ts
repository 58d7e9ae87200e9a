export interface BackoffOptions {
  /** Wait after the first failure, in milliseconds. */
  readonly baseMs: number
  /** The longest wait, before jitter. */
  readonly maxMs: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/**
 * How long to wait after so many failures in a row (1 = the first), in milliseconds: doubling from the base to the
 * maximum, less up to a half at random, so that those who failed together do not come back together.
 */
export function backoff(failures: number, { baseMs, maxMs, random }: BackoffOptions): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30))
  return full * (1 - random() / 2)
}
