import { Counter, type Registry } from 'prom-client'
import { isVerdict, type ProcessedBatch } from './processor.ts'

const sides = ['champion', 'challenger'] as const
type Side = (typeof sides)[number]

/** What came of the events that a model decided on. */
export interface SideCounts {
  readonly events: number
  readonly alerts: number
  readonly confirmed: number
  readonly falseAlarms: number
}

const none: SideCounts = { events: 0, alerts: 0, confirmed: 0, falseAlarms: 0 }

/** Counts verdicts, and what people say of them, by whether the champion or its challenger had a part in them. */
export class ChallengeCounts {
  readonly #version: () => string | undefined
  #counted: string | undefined
  #counts: Readonly<Record<Side, SideCounts>> = { champion: none, challenger: none }
  readonly #verdicts: Counter<'model' | 'verdict'>
  readonly #feedback: Counter<'model' | 'label'>

  /** @param version of the challenger; undefined: nothing is counted */
  constructor(registry: Registry, version: () => string | undefined) {
    const registers = [registry]
    this.#version = version
    this.#verdicts = new Counter({
      name: 'anomaly_challenge_verdicts_total',
      help: 'Events while a challenger serves, by whether it or the champion scored them, and by verdict',
      labelNames: ['model', 'verdict'],
      registers,
    })
    this.#feedback = new Counter({
      name: 'anomaly_challenge_feedback_total',
      help: 'Confirmed anomalies and false alarms of verdicts by the challenger or the champion',
      labelNames: ['model', 'label'],
      registers,
    })
  }

  /** Since the challenger came; undefined without one. */
  get counts(): Readonly<Record<Side, SideCounts>> | undefined {
    return this.#version() === undefined || this.#version() !== this.#counted ? undefined : this.#counts
  }

  /** Looks at a batch at once; it is counted when what this answers with is called. */
  observe({ outcomes, said }: Pick<ProcessedBatch, 'outcomes' | 'said'>): () => void {
    const version = this.#version()
    if (version === undefined) return () => {}
    const batch = { champion: { ...none }, challenger: { ...none } }
    const sideOf = (modelVersion: string | undefined) => batch[modelVersion === version ? 'challenger' : 'champion']
    for (const outcome of outcomes) {
      if (!isVerdict(outcome)) continue
      const side = sideOf(outcome.modelVersion)
      side.events++
      if (outcome.isAnomaly) side.alerts++
    }
    for (const { label, modelVersion } of said ?? []) {
      if (modelVersion === undefined) continue
      const side = sideOf(modelVersion)
      if (label === 'Confirmed') side.confirmed++
      else if (label === 'FalseAlarm') side.falseAlarms++
    }
    return () => this.#add(version, batch)
  }

  #add(version: string, batch: Readonly<Record<Side, SideCounts>>): void {
    const former = version === this.#counted ? this.#counts : { champion: none, challenger: none }
    this.#counted = version
    for (const model of sides) {
      const { events, alerts, confirmed, falseAlarms } = batch[model]
      this.#verdicts.inc({ model, verdict: 'anomaly' }, alerts)
      this.#verdicts.inc({ model, verdict: 'normal' }, events - alerts)
      this.#feedback.inc({ model, label: 'Confirmed' }, confirmed)
      this.#feedback.inc({ model, label: 'FalseAlarm' }, falseAlarms)
    }
    this.#counts = {
      champion: sumOf(former.champion, batch.champion),
      challenger: sumOf(former.challenger, batch.challenger),
    }
  }
}

const sumOf = (one: SideCounts, other: SideCounts): SideCounts => ({
  events: one.events + other.events,
  alerts: one.alerts + other.alerts,
  confirmed: one.confirmed + other.confirmed,
  falseAlarms: one.falseAlarms + other.falseAlarms,
})
