import { anomalyKinds, type SimulatedPayment } from './simulate-payments.ts'

export interface KindSummary {
  readonly kind: string
  readonly episodes: number
  /** Episodes with an alert. */
  readonly found: number
  readonly alerts: number
}

export interface TruthSummary {
  readonly precision: number
  readonly recall: number
  readonly kinds: readonly KindSummary[]
  /** Alerts on ordinary payments. */
  readonly falseAlerts: number
}

export interface InjectedTruth {
  /** Call for every payment with what was decided on it. */
  judge(payment: SimulatedPayment, isAnomaly: boolean): void
  summary(): TruthSummary
}

/** Episodes under way are far fewer. */
const mostEpisodes = 10_000

/**
 * Holds decisions against the injected truth. Precision counts alerts: the share of them on injected payments. Recall
 * counts episodes: the share of them with an alert, since the refractory period keeps an episode to few alerts on purpose.
 */
export function createInjectedTruth(): InjectedTruth {
  const kinds = new Map(anomalyKinds.map((kind) => [kind, { kind, episodes: 0, found: 0, alerts: 0 }]))
  /** The latest episodes, and whether they were found. */
  const latest = new Map<number, boolean>()
  let falseAlerts = 0
  return {
    judge({ injected, episode }, isAnomaly) {
      if (injected === '') {
        if (isAnomaly) falseAlerts++
        return
      }
      const kind = kinds.get(injected)!
      if (isAnomaly) kind.alerts++
      const found = latest.get(episode)
      if (found === undefined) {
        kind.episodes++
        if (latest.size === mostEpisodes) latest.delete(latest.keys().next().value!)
      }
      if (isAnomaly && !found) kind.found++
      latest.set(episode, found === true || isAnomaly)
    },
    summary() {
      let [episodes, found, hits] = [0, 0, 0]
      for (const kind of kinds.values()) {
        episodes += kind.episodes
        found += kind.found
        hits += kind.alerts
      }
      return {
        precision: hits / (hits + falseAlerts),
        recall: found / episodes,
        kinds: Array.from(kinds.values(), (kind) => ({ ...kind })),
        falseAlerts,
      }
    },
  }
}
