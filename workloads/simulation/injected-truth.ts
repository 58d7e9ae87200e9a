import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import { type EpisodeFigures, EpisodeQuality } from '../detection/episode-quality.ts'
import type { Verdict } from '../detection/verdict.ts'
import { anomalyKinds, type SimulatedPayment } from './simulate-payments.ts'

export interface KindSummary {
  readonly kind: string
  readonly episodes: number
  /** Episodes with an alert, or within the refractory period of one. */
  readonly found: number
  readonly alerts: number
}

export interface TruthSummary {
  readonly precision: number
  readonly recall: number
  readonly episodes: EpisodeFigures
  readonly kinds: readonly KindSummary[]
  /** Alerts on ordinary payments. */
  readonly falseAlerts: number
}

export interface InjectedTruth {
  /** Call for every payment with what was decided on it. */
  judge(payment: SimulatedPayment, verdict: Verdict): void
  summary(): TruthSummary
}

/** Episodes under way are far fewer. */
const mostEpisodes = 10_000

/**
 * Holds decisions against the injected truth. Precision counts alerts: the share of them on injected payments. Recall
 * counts episodes, since the refractory period keeps an episode to few alerts on purpose.
 */
export function createInjectedTruth(spec: Pick<DetectionSpec, 'refractorySeconds'>): InjectedTruth {
  const kinds = new Map(anomalyKinds.map((kind) => [kind, { kind, episodes: 0, found: 0, alerts: 0 }]))
  /** The latest episodes, and whether they were found. */
  const latest = new Map<number, boolean>()
  const quality = new EpisodeQuality(spec)
  let falseAlerts = 0
  return {
    judge({ injected, episode }, verdict) {
      quality.add(verdict, episode)
      const { isAnomaly } = verdict
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
      const isFound = isAnomaly || verdict.suppressedBy === 'Refractory'
      if (isFound && !found) kind.found++
      latest.set(episode, found === true || isFound)
    },
    summary() {
      let hits = 0
      for (const kind of kinds.values()) hits += kind.alerts
      const episodes = quality.figures
      const { found, missed } = episodes.truth ?? { found: 0, missed: 0 }
      return {
        precision: hits / (hits + falseAlerts),
        recall: found / (found + missed),
        episodes,
        kinds: Array.from(kinds.values(), (kind) => ({ ...kind })),
        falseAlerts,
      }
    },
  }
}
