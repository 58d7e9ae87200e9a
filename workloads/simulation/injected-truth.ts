import { type AnomalyKind, anomalyKinds, type SimulatedPayment } from './simulate-payments.ts'

export interface TruthSummary {
  readonly precision: number
  readonly recall: number
  readonly kinds: readonly { readonly kind: string; readonly episodes: number; readonly found: number }[]
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
  const kinds = new Map<AnomalyKind, { kind: AnomalyKind; episodes: number; found: number }>(
    anomalyKinds.map((kind) => [kind, { kind, episodes: 0, found: 0 }]),
  )
  /** The latest episodes, and whether they were found. */
  const latest = new Map<number, boolean>()
  let alerts = 0
  let hits = 0
  return {
    judge({ injected, episode }, isAnomaly) {
      if (isAnomaly) alerts++
      if (injected === '') return
      if (isAnomaly) hits++
      const kind = kinds.get(injected)!
      const found = latest.get(episode)
      if (found === undefined) {
        kind.episodes++
        if (latest.size === mostEpisodes) latest.delete(latest.keys().next().value!)
      }
      if (isAnomaly && !found) kind.found++
      latest.set(episode, found === true || isAnomaly)
    },
    summary() {
      let episodes = 0
      let found = 0
      for (const kind of kinds.values()) {
        episodes += kind.episodes
        found += kind.found
      }
      return { precision: hits / alerts, recall: found / episodes, kinds: [...kinds.values()] }
    },
  }
}
