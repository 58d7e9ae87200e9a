import { type LagState, nextLagState } from '../../operator/lag/lag-policy.ts'

/**
 * Days of consumers in seconds: the operator's way to scale beside a plain HPA on CPU and beside KEDA's Kafka scaler with an
 * HPA of default behaviour (replicas = lag / lagThreshold, never more than partitions).
 */

const day = 86_400
const perReplica = 2_000
const targetLag = 10_000
const startSeconds = 20
const rebalanceSeconds = 3
const settleSeconds = 15

interface Trace {
  readonly name: string
  readonly partitions: number
  readonly maxReplicas: number
  /** Events a second. */
  readonly rate: (second: number) => number
  readonly isDead?: (second: number) => boolean
  /** CPU in use by a replica that does all it can: less than 1 where it waits for others, such as inference. */
  readonly cpuAtFull?: number
}

const diurnal = (peak: number) => (second: number) =>
  peak * (0.55 - 0.45 * Math.cos((2 * Math.PI * second) / day)) * (1 + 0.05 * Math.sin(second / 97))
const within = (second: number, from: number, to: number) => second >= from && second < to

export const traces: readonly Trace[] = [
  ...[4, 12, 100, 1_000].map((partitions) => {
    const maxReplicas = Math.min(partitions, 64)
    const peak = perReplica * maxReplicas * 0.6
    return { name: `diurnal, ${partitions} partitions`, partitions, maxReplicas, rate: diurnal(peak) }
  }),
  {
    name: 'spike',
    partitions: 12,
    maxReplicas: 12,
    rate: (second) => (within(second, 40_000, 41_800) ? 16_000 : 1_000),
  },
  {
    name: 'flapping',
    partitions: 12,
    maxReplicas: 12,
    rate: (second) => (Math.floor(second / 240) % 2 === 0 ? 9_000 : 1_000),
  },
  { name: 'waiting for inference', partitions: 12, maxReplicas: 12, rate: diurnal(14_000), cpuAtFull: 0.5 },
  {
    name: 'dead broker',
    partitions: 12,
    maxReplicas: 12,
    rate: () => 7_000,
    isDead: (second) => within(second, 40_000, 42_400),
  },
]

/** What a policy sees every 15 seconds; the lag is unknown while the brokers are away. */
interface Seen {
  readonly second: number
  readonly replicas: number
  readonly ready: number
  /** Share of a replica's CPU in use, averaged over the ready ones. */
  readonly cpu: number
  readonly lag: number | undefined
}
type Policy = (seen: Seen) => number

interface Behavior {
  readonly up: { readonly window: number; readonly pods: number; readonly period: number }
  readonly down: { readonly window: number; readonly pods: number; readonly period: number }
}
const defaultBehavior: Behavior = {
  up: { window: 0, pods: 4, period: 15 },
  down: { window: 300, pods: Number.POSITIVE_INFINITY, period: 15 },
}
const ownBehavior: Behavior = { up: { window: 30, pods: 2, period: 60 }, down: { window: 600, pods: 1, period: 300 } }

/** An HPA: stabilisation windows and the greater of doubling and so many pods up in a period, so many down. */
function hpa(behavior: Behavior) {
  const wished: { readonly second: number; readonly wish: number }[] = []
  const changes: { readonly second: number; readonly by: number }[] = []
  return (second: number, replicas: number, wish: number, least: number, most: number): number => {
    wished.push({ second, wish })
    const since = (window: number) => wished.filter((each) => second - each.second <= window).map((each) => each.wish)
    const moved = (period: number, sign: number) =>
      changes
        .filter((each) => second - each.second < period && Math.sign(each.by) === sign)
        .reduce((sum, each) => sum + Math.abs(each.by), 0)
    while (wished.length > 50) wished.shift()
    const { up, down } = behavior
    const lowest = Math.min(...since(up.window))
    const highest = Math.max(...since(down.window))
    let next = replicas
    if (lowest > replicas) {
      const begun = replicas - moved(up.period, 1)
      next = Math.max(replicas, Math.min(lowest, Math.max(begun * 2, begun + up.pods)))
    } else if (highest < replicas) {
      next = Math.min(replicas, Math.max(highest, replicas + moved(down.period, -1) - down.pods))
    }
    next = Math.min(most, Math.max(least, next))
    if (next !== replicas) changes.push({ second, by: next - replicas })
    if (changes.length > 50) changes.shift()
    return next
  }
}

const byCpu = ({ cpu, ready, replicas }: Seen): number =>
  Math.abs(cpu / 0.7 - 1) <= 0.1 ? replicas : Math.ceil(ready * (cpu / 0.7))

const policies: Readonly<Record<'own' | 'cpu' | 'keda', (trace: Trace) => Policy>> = {
  own({ partitions, maxReplicas }) {
    const scale = hpa(ownBehavior)
    const most = Math.min(partitions, maxReplicas)
    let state: LagState | undefined
    return (seen) => {
      const { second, replicas, ready, lag } = seen
      if (lag !== undefined)
        state = nextLagState(
          state,
          { partitions, lag, readyReplicas: ready, at: second * 1000 },
          { minReplicas: 1, maxReplicas, targetLag },
        )
      return scale(second, replicas, byCpu(seen), state?.floor ?? 1, most)
    }
  },
  cpu({ maxReplicas }) {
    const scale = hpa(defaultBehavior)
    return (seen) => scale(seen.second, seen.replicas, byCpu(seen), 1, maxReplicas)
  },
  keda({ partitions, maxReplicas }) {
    const scale = hpa(defaultBehavior)
    return ({ second, replicas, lag }) => {
      if (lag === undefined) return replicas
      const wish = Math.abs(lag / (replicas * targetLag) - 1) <= 0.1 ? replicas : Math.ceil(lag / targetLag)
      return scale(second, replicas, Math.min(partitions, wish), 1, maxReplicas)
    }
  },
}

export interface Day {
  readonly overTargetSeconds: number
  readonly rebalances: number
  readonly replicaHours: number
}

/** What each policy makes of the trace. */
export function simulate(trace: Trace): Readonly<Record<keyof typeof policies, Day>> {
  const { own, cpu, keda } = policies
  return { own: live(trace, own(trace)), cpu: live(trace, cpu(trace)), keda: live(trace, keda(trace)) }
}

function live(trace: Trace, decide: Policy): Day {
  let replicas = 1
  let ready = 1
  let starting: { readonly at: number; readonly count: number }[] = []
  let pausedUntil = 0
  let lag = 0
  let cpu = 0
  let overTargetSeconds = 0
  let rebalances = 0
  let replicaSeconds = 0
  for (let second = 0; second < day; second++) {
    const isDead = trace.isDead?.(second) === true
    const joined = starting.filter(({ at }) => at <= second).reduce((sum, { count }) => sum + count, 0)
    if (joined > 0) {
      starting = starting.filter(({ at }) => at > second)
      ready += joined
      rebalances += 1
      pausedUntil = second + rebalanceSeconds
    }
    const working = Math.min(ready, trace.partitions)
    const capacity = isDead || second < pausedUntil ? 0 : working * perReplica
    const waiting = lag + trace.rate(second)
    const done = Math.min(capacity, waiting)
    lag = waiting - done
    cpu += ((done / (ready * perReplica)) * (trace.cpuAtFull ?? 1) - cpu) / 15
    replicaSeconds += replicas
    if (lag > targetLag * Math.max(1, replicas)) overTargetSeconds += 1
    if (second % settleSeconds !== 0) continue
    const next = decide({ second, replicas, ready, cpu, lag: isDead ? undefined : lag })
    if (next > replicas) starting.push({ at: second + startSeconds, count: next - replicas })
    if (next < replicas) {
      ready = Math.max(1, Math.min(ready, next))
      starting = []
      rebalances += 1
      pausedUntil = second + rebalanceSeconds
    }
    replicas = next
  }
  return { overTargetSeconds, rebalances, replicaHours: Math.round(replicaSeconds / 360) / 10 }
}
