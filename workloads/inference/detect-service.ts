import { type Decision, resolveDecision } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { AlertBudget } from '../detection/alert-budget.ts'
import { anomalyScoreOf } from '../detection/anomaly-score.ts'
import type { Event } from '../detection/event.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { isHit, type Limit, limitsOf } from '../detection/rules.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import type { AnomalyRequest, AnomalyResponse } from '../gen/anomaly_detection.ts'
import type { Replica } from './replica.ts'

/** Surprisal from which on an answer says why. */
const oneInTen = -Math.log(0.1)

export interface DetectServiceOptions {
  readonly pipeline: Pipeline
  readonly replica: Replica
  /** Monotonic, in ms. */
  readonly clock: () => number
}

/**
 * Answers the public contract: events as maps of features, judged by the models and the rules alone, without the profile
 * of a key. Each event is learnt as a row that lacks what profiles add.
 */
export class DetectService {
  readonly #replica: Replica
  readonly #clock: () => number
  readonly #limits: readonly Limit[]
  readonly #schema = new FeatureSchema()
  readonly #decision: Decision
  readonly #budget: AlertBudget | undefined
  #columns: readonly string[] = []

  constructor({ pipeline, replica, clock }: DetectServiceOptions) {
    const { detection } = pipeline.spec
    this.#replica = replica
    this.#clock = clock
    this.#limits = limitsOf(detection.rules, this.#schema)
    this.#decision = resolveDecision(detection)
    this.#budget = this.#decision.type === 'alertBudget' ? new AlertBudget(this.#decision) : undefined
  }

  /** @param arrived when the first of the requests came, by the clock */
  detect(requests: readonly AnomalyRequest[], arrived: number): AnomalyResponse[] {
    for (const { features } of requests)
      for (const name in features) if (this.#schema.hasRoomFor(1)) this.#schema.append(name)
    if (this.#columns.length < this.#schema.size) this.#columns = [...this.#schema.names]
    const width = this.#columns.length
    const rows = new Float64Array(requests.length * width).fill(Number.NaN)
    for (const [row, { features }] of requests.entries())
      for (const name in features) {
        const column = this.#schema.indexOf(name)
        if (column !== undefined && Number.isFinite(features[name])) rows[row * width + column] = features[name]!
      }
    const scored = this.#replica.scoreNow({
      columns: this.#columns,
      rows,
      count: requests.length,
      explainFrom: oneInTen,
    })
    const tookMs = this.#clock() - arrived
    return requests.map((request, row) =>
      this.#answer(request, rows.subarray(row * width, (row + 1) * width), scored, row, tookMs),
    )
  }

  #answer(
    request: AnomalyRequest,
    numbers: Float64Array,
    scored: ScoredRows,
    row: number,
    tookMs: number,
  ): AnomalyResponse {
    let sum = 0
    let answering = 0
    for (const ofDetector of scored.surprisals) {
      const surprisal = ofDetector[row]!
      if (Number.isNaN(surprisal)) continue
      sum += surprisal
      answering++
    }
    const mean = answering === 0 ? 0 : sum / answering
    const alerted = this.#alerts(mean)
    const hits = this.#hits(request, numbers)
    const featureImportance: Record<string, number> = {}
    for (const field of hits) featureImportance[field] = 1
    if (hits.length === 0)
      for (const { model, column, contribution } of scored.explanations.get(row) ?? []) {
        const share = (contribution * scored.surprisals[model]![row]!) / sum
        featureImportance[column] = (featureImportance[column] ?? 0) + share
      }
    const withoutModel = this.#replica.modelNames.length > 0 && answering === 0
    const present = numbers.length === 0 ? 1 : numbers.filter((x) => !Number.isNaN(x)).length / numbers.length
    return {
      eventId: request.eventId,
      isAnomaly: alerted || hits.length > 0,
      anomalyScore: anomalyScoreOf(mean),
      confidence: hits.length > 0 ? 1 : present * (withoutModel ? 0.5 : 1),
      modelVersion: scored.modelVersionOf(row),
      inferenceTimeMs: Math.round(tookMs),
      featureImportance,
    }
  }

  #alerts(mean: number): boolean {
    if (mean <= 0) return false
    if (this.#decision.type === 'threshold') return anomalyScoreOf(mean) >= this.#decision.anomalyScore
    return this.#budget!.spend(mean >= this.#budget!.theta)
  }

  /** Fields whose limits the event breaks. */
  #hits(request: AnomalyRequest, numbers: Float64Array): string[] {
    const event: Event = {
      id: request.eventId,
      time: request.timestamp,
      key: request.userId,
      value: request.features.value ?? Number.NaN,
      features: Array.from(numbers),
    }
    return this.#limits.filter((limit) => isHit(limit, limit.read(event))).map(({ field }) => field)
  }
}
