import { resolveDecision } from '../../lib/pipeline/resolve-pipeline.ts'
import type { DetectionSpec, PipelineSpec } from '../../lib/pipeline/spec.ts'
import { AlertBudget } from './alert-budget.ts'
import { surprisalOf } from './anomaly-score.ts'
import { Calendars } from './calendars.ts'
import { Decision } from './decision.ts'
import { detectorsOf, isCalibrated, refractoryEventsOf } from './detection.ts'
import type { Surprisal } from './detector.ts'
import { type Episode, leadingFeature } from './episode.ts'
import { LastAlerts } from './last-alerts.ts'
import { isMuted, type Mute, mutesOf } from './mutes.ts'
import { OpenEpisodes } from './open-episodes.ts'
import type { Suppression, Verdict } from './verdict.ts'

/** What is kept of an event and its verdict for whoever decides on it again. */
export interface DecidedEvent {
  readonly eventId: string
  readonly key: string
  /** Milliseconds since 1970; 0 without a time. */
  readonly time: number
  readonly score: number
  readonly threshold: number
  readonly isAnomaly: boolean
  /** A rule was hit, which alerts whatever the budget is. */
  readonly isHit: boolean
  /** Feature that the strongest reason names. */
  readonly feature: string
  /** Why it did not alert, where its score reached the threshold. */
  readonly suppressedBy?: Suppression | undefined
}

/** Of a stretch of time. */
export interface Tally {
  readonly alerts: number
  readonly episodes: number
}

export interface WhatIfAnswer {
  /** Times of the first and the last event that counts; null without any. */
  readonly from: number | null
  readonly to: number | null
  readonly events: number
  /** As it was recorded, and as it would have been. */
  readonly was: Tally
  readonly wouldBe: Tally
  /** The same events decided again by the present document: so many alerts, and so many of them among those that were recorded. */
  readonly check: { readonly alerts: number; readonly same: number }
  /** Episodes that there would have been besides, and those that there would not; the highest peak first. */
  readonly come: readonly Episode[]
  readonly go: readonly Episode[]
}

export interface WhatIfOptions {
  readonly spec: Pick<PipelineSpec, 'detection' | 'event'>
  /** The budget that is tried. */
  readonly perMillion: number
  /** Events before this time prepare, and are not counted. */
  readonly from: number
}

/**
 * What another alert budget would have made of events that were judged: the decision, its budget and the episodes, run
 * again on the scores that were recorded. What an alert changes in later scores stays as it was: an episode that comes or
 * goes would have been learnt otherwise. Partitions, which hold a budget each, are taken for one.
 */
export class WhatIf {
  readonly #from: number
  readonly #slots = new Map<string, number>()
  /** The budget as it went, to know what a threshold held beside it: more for a young key, or another partition's. */
  readonly #asItWent: AlertBudget | undefined
  readonly #was: Grouping
  readonly #wouldBe: Replay
  readonly #again: Replay
  #first: number | null = null
  #last: number | null = null
  #events = 0
  #same = 0

  constructor({ spec, perMillion, from }: WhatIfOptions) {
    const { detection } = spec
    const present = resolveDecision(detection)
    const { keyed, modelNames } = detectorsOf(spec)
    const calibrated = keyed.length + modelNames.length > 1 || isCalibrated(keyed)
    const refractoryEvents = refractoryEventsOf(keyed)
    const replayOf = (one: DetectionSpec) => new Replay(one, { refractoryEvents, isCalibrated: calibrated })
    const mode = present.type === 'alertBudget' ? present.mode : 'Quota'
    const { threshold: _1, alertBudgetPerMillion: _2, ...undecided } = detection
    this.#from = from
    this.#was = new Grouping(detection)
    this.#again = replayOf(detection)
    this.#wouldBe = replayOf({ ...undecided, alertBudget: { perMillion, mode } })
    if (present.type === 'alertBudget')
      this.#asItWent = new AlertBudget({ perMillion: present.perMillion, mode, isCalibrated: calibrated })
  }

  /** The next event, in the order of times. */
  add(event: DecidedEvent): void {
    const { key, time, score, threshold, isAnomaly, suppressedBy } = event
    let slot = this.#slots.get(key)
    if (slot === undefined) {
      slot = this.#slots.size
      this.#slots.set(key, slot)
      this.#again.begin(slot)
      this.#wouldBe.begin(slot)
    }
    const beside = this.#asItWent === undefined ? 0 : surprisalOf(threshold) - this.#asItWent.theta
    this.#asItWent?.spend(score >= threshold && (isAnomaly || suppressedBy === 'Budget'))
    const surprisal = surprisalOf(score) - beside
    const counts = time >= this.#from
    this.#was.add(event, isAnomaly, suppressedBy, counts)
    this.#wouldBe.decide(event, slot, surprisal, counts)
    const isAgain = this.#again.decide(event, slot, surprisal, counts)
    if (!counts) return
    this.#first ??= time
    this.#last = time
    this.#events++
    if (isAgain && isAnomaly) this.#same++
  }

  get answer(): WhatIfAnswer {
    const was = this.#was.episodes(this.#from)
    const wouldBe = this.#wouldBe.grouping.episodes(this.#from)
    return {
      from: this.#first,
      to: this.#last,
      events: this.#events,
      was: { alerts: this.#was.alerts, episodes: whole(was).length },
      wouldBe: { alerts: this.#wouldBe.grouping.alerts, episodes: whole(wouldBe).length },
      check: { alerts: this.#again.grouping.alerts, same: this.#same },
      come: missingIn(was, wouldBe),
      go: missingIn(wouldBe, was),
    }
  }
}

/** Decides on recorded scores. */
class Replay {
  readonly grouping: Grouping
  readonly #decision: Decision
  readonly #mutes: readonly Mute[]
  readonly #calendars: Calendars
  readonly #lastAlerts: LastAlerts

  constructor(
    detection: DetectionSpec,
    options: { readonly refractoryEvents: number; readonly isCalibrated: boolean },
  ) {
    this.grouping = new Grouping(detection)
    this.#mutes = mutesOf(detection)
    this.#calendars = new Calendars(detection)
    this.#lastAlerts = new LastAlerts({
      refractoryMs: detection.refractorySeconds * 1000,
      refractoryEvents: options.refractoryEvents,
    })
    // The recorded score is of the mean after its calibration: one member that needs none.
    this.#decision = new Decision(detection, {
      lastAlerts: this.#lastAlerts,
      members: 1,
      isCalibrated: options.isCalibrated,
      hasProfiles: false,
    })
  }

  begin(slot: number): void {
    this.#lastAlerts.reset(slot)
  }

  decide(event: DecidedEvent, slot: number, surprisal: Surprisal, counts: boolean): boolean {
    const decision = this.#decision
    const time = event.time === 0 ? Number.NaN : event.time
    const muted = () => isMuted(this.#mutes, event.key, time, event.feature)
    const isExpected = this.#calendars.hold(time)
    if (isExpected) decision.decideInCalendar(slot, surprisal, 0)
    else decision.decide(slot, time, surprisal, 0, muted)
    const isAlert = decision.isAlert || (event.isHit && !isExpected && !muted())
    this.grouping.add(event, isAlert, isAlert ? undefined : decision.suppressedBy, counts)
    return isAlert
  }
}

/** Alerts and their episodes. */
class Grouping {
  alerts = 0
  readonly #open: OpenEpisodes
  readonly #episodes = new Map<string, Episode>()
  readonly #changes: Episode[] = []

  constructor(detection: DetectionSpec) {
    this.#open = new OpenEpisodes(detection)
  }

  add(event: DecidedEvent, isAnomaly: boolean, suppressedBy: Suppression | undefined, counts: boolean): void {
    if (isAnomaly && counts) this.alerts++
    this.#open.add(verdictOf(event, isAnomaly, suppressedBy), this.#changes)
    for (const change of this.#changes.splice(0)) this.#episodes.set(change.episodeId, change)
  }

  /** Those with events from then on. */
  episodes(from: number): readonly Episode[] {
    return [...this.#episodes.values()].filter(({ lastTimestamp }) => (lastTimestamp ?? 0) >= from)
  }
}

/** As much of a verdict as episodes are made of. */
function verdictOf(event: DecidedEvent, isAnomaly: boolean, suppressedBy: Suppression | undefined): Verdict {
  const { eventId, key, time, score, threshold, feature } = event
  return {
    eventId,
    userId: key,
    timestamp: time === 0 ? null : time,
    isAnomaly,
    anomalyScore: score,
    threshold,
    confidence: 1,
    modelVersion: '',
    reasons: [{ detector: '', feature, observed: null, expected: null, contribution: 1 }],
    ...(suppressedBy === undefined ? undefined : { suppressedBy }),
    scores: {},
  }
}

/** Without those that became part of another. */
function whole(episodes: readonly Episode[]): readonly Episode[] {
  return episodes.filter(({ partOf }) => partOf === undefined)
}

/** Those of `episodes` that have no counterpart in `others`: at the same time, of the same key, or of the stream for the same reason. */
function missingIn(others: readonly Episode[], episodes: readonly Episode[]): readonly Episode[] {
  const byKey = Map.groupBy(others, ({ userId }) => userId)
  const meets = (one: Episode) => (other: Episode) =>
    (other.firstTimestamp ?? 0) <= (one.lastTimestamp ?? 0) && (one.firstTimestamp ?? 0) <= (other.lastTimestamp ?? 0)
  return whole(episodes)
    .filter((one) => {
      const ofStream = (byKey.get(null) ?? []).filter((other) => leadingFeature(other) === leadingFeature(one))
      const ofKey = one.userId === null ? [] : (byKey.get(one.userId) ?? [])
      return ![...ofKey, ...ofStream].some(meets(one))
    })
    .sort((a, b) => b.peakScore - a.peakScore)
}
