import type { Bounds } from '../desired/replicas.ts'

/** What was seen of a topic at one moment. */
export interface LagSample {
  readonly partitions: number
  /** Events without a verdict, over all partitions. */
  readonly lag: number
  /** Consumers that are ready. */
  readonly readyReplicas: number
  /** Milliseconds of a clock that never goes back. */
  readonly at: number
}

export interface LagTarget extends Bounds {
  /** Events that may wait for each replica. */
  readonly targetLag: number
}

/** What the policy remembers of a pipeline. Plain data: it may be thrown away, and is after a restart. */
export interface LagState {
  /** Fewest replicas that the lag asks for. */
  readonly floor: number
  /** When the floor last changed: the group rebalances, and what is seen meanwhile says little. */
  readonly changedAt: number
  /** Since when less than the floor would do. */
  readonly lowSince?: number | undefined
  readonly last: LagSample
}

export interface LagOptions {
  /** After a change, time for the group to settle: one rebalance at a time. */
  readonly settleMs: number
  /** How long less must have been enough before one replica goes. */
  readonly calmMs: number
  /** How long it may take to work off a backlog. */
  readonly drainMs: number
}

export const lagOptions: LagOptions = { settleMs: 60_000, calmMs: 600_000, drainMs: 300_000 }

/**
 * The fewest consumers that the lag asks for: a pure function of what was seen and what was decided before.
 *
 * Up: as many as each having `targetLag` events asks for, but at most twice as many at once, since a lag is a sum over
 * time and not a load: what is there already works on it. A lag that falls fast enough to be gone within `drainMs` asks
 * for nothing. Down: one replica, when for `calmMs` the lag was less than half of what the fewer may have. Never more than
 * partitions: others would have nothing to do. Without a sample (broken Kafka) the caller asks nothing and all stays.
 */
export function nextLagState(
  before: LagState | undefined,
  sample: LagSample,
  target: LagTarget,
  options: LagOptions = lagOptions,
): LagState {
  const most = Math.max(1, Math.min(target.maxReplicas, Math.max(1, sample.partitions)))
  const least = Math.min(target.minReplicas, most)
  const within = (replicas: number): number => Math.min(most, Math.max(least, replicas))
  if (before === undefined) {
    // After a restart of the operator what runs is what was asked for: it is let down slowly, not at once.
    const floor = within(sample.lag > target.targetLag ? sample.readyReplicas : least)
    return { floor, changedAt: sample.at, last: sample }
  }
  const floor = within(before.floor)
  const keep = (lowSince?: number): LagState => ({ floor, changedAt: before.changedAt, lowSince, last: sample })
  const change = (next: number): LagState => ({ floor: next, changedAt: sample.at, last: sample })
  // A document that narrows its bounds is obeyed at once.
  if (floor !== before.floor) return change(floor)

  const isSettled = sample.at - before.changedAt >= options.settleMs
  const wanted = Math.ceil(sample.lag / target.targetLag)
  if (wanted > floor) {
    const drained = before.last.lag - sample.lag
    const elapsed = sample.at - before.last.at
    const isDraining = drained > 0 && (sample.lag / drained) * elapsed <= options.drainMs
    if (!isSettled || isDraining) return keep()
    const base = Math.max(floor, Math.min(sample.readyReplicas, most))
    const next = within(Math.min(wanted, base * 2))
    return next > floor ? change(next) : keep()
  }
  const enough = sample.lag < ((floor - 1) * target.targetLag) / 2
  if (floor <= least || !enough) return keep()
  const lowSince = before.lowSince ?? sample.at
  if (!isSettled || sample.at - lowSince < options.calmMs) return keep(lowSince)
  return change(floor - 1)
}
