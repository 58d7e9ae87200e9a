import { fixedPipeline, type LivePipeline } from '../../lib/pipeline/live-pipeline.ts'
import { type Decision, resolveDecision } from '../../lib/pipeline/resolve-pipeline.ts'
import type { DetectionSpec, Pipeline } from '../../lib/pipeline/spec.ts'
import { AlertBudget } from '../detection/alert-budget.ts'
import { anomalyScoreOf } from '../detection/anomaly-score.ts'
import type { Event } from '../detection/event.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { isHit, type Limit, limitsOf } from '../detection/rules.ts'
import { sourceIdOf, textHash } from '../detection/text-hash.ts'
import type { AnomalyRequest, AnomalyResponse } from '../gen/anomaly_detection.ts'
import type { Replica, ReplicaScores } from './replica.ts'
import { namedOf } from './scoring-service.ts'

/** Surprisal from which on an answer says why. */
const oneInTen = -Math.log(0.1)

export interface DetectServiceOptions {
  readonly pipeline: Pipeline
  readonly live?: LivePipeline | undefined
  readonly replica: Replica
  /** Monotonic, in ms. */
  readonly clock: () => number
}

interface Scored {
  /** Of the features, in their order. */
  readonly numbers: Float64Array
  readonly leftOut: readonly string[]
  readonly scored: ReplicaScores
  readonly row: number
  readonly tookMs: number
}

/**
 * Answers the public contract: events as maps of features, judged by the models and the rules alone, without the profile
 * of a key, and by the features that the pipeline has: whoever can call it could otherwise add any number of them.
 */
export class DetectService {
  readonly #replica: Replica
  readonly #clock: () => number
  readonly #live: LivePipeline
  #detection: DetectionSpec
  #decision: Decision
  #budget: AlertBudget | undefined
  readonly #isLearnt: boolean
  /** The features by which `#limits` read and rows are laid out. */
  #schema = new FeatureSchema()
  #limits: readonly Limit[] = []
  #names: readonly string[] = []
  /** The value, then the features. */
  #columns: readonly string[] = []

  constructor({ pipeline, live = fixedPipeline(pipeline), replica, clock }: DetectServiceOptions) {
    const { detection } = pipeline.spec
    this.#live = live
    this.#detection = detection
    this.#replica = replica
    this.#clock = clock
    this.#decision = resolveDecision(detection)
    this.#budget = this.#decision.type === 'alertBudget' ? new AlertBudget(this.#decision) : undefined
    this.#isLearnt = detection.learnFromCalls === 'Enabled'
    this.#use([])
  }

  /**
   * @param arrived when the first of the requests came, by the clock
   * @param caller who sent them
   */
  detect(requests: readonly AnomalyRequest[], arrived: number, caller: string): AnomalyResponse[] {
    const { names } = this.#replica.known
    const { detection } = this.#live
    if (detection !== this.#detection) this.#decideBy(detection)
    else if (names !== this.#names) this.#use(names)
    const width = this.#columns.length
    const rows = new Float64Array(requests.length * width).fill(Number.NaN)
    const leftOut = requests.map(({ features }, row) => {
      const unknown: string[] = []
      for (const name in features) {
        const column = name === 'value' ? 0 : (this.#schema.indexOf(name) ?? -1) + 1
        if (column === 0 && name !== 'value') unknown.push(name)
        else if (Number.isFinite(features[name])) rows[row * width + column] = features[name]!
      }
      return unknown
    })
    const batch = {
      columns: this.#columns,
      rows,
      count: requests.length,
      keyIds: Uint32Array.from(requests, ({ userId }) => sourceIdOf(textHash(userId))),
      explainFrom: oneInTen,
      scoreOnly: !this.#isLearnt,
    }
    const scored = this.#replica.scoreNow(batch, caller)
    const tookMs = this.#clock() - arrived
    return requests.map((request, row) => {
      const numbers = rows.subarray(row * width + 1, (row + 1) * width)
      return this.#answer(request, { numbers, leftOut: leftOut[row]!, scored, row, tookMs })
    })
  }

  #decideBy(detection: DetectionSpec): void {
    const former = this.#budget
    this.#detection = detection
    this.#decision = resolveDecision(detection)
    this.#budget = this.#decision.type === 'alertBudget' ? new AlertBudget(this.#decision) : undefined
    if (former !== undefined) this.#budget?.continue(former)
    this.#use(this.#replica.known.names)
  }

  #use(names: readonly string[]): void {
    this.#names = names
    this.#columns = ['value', ...names]
    this.#schema = new FeatureSchema(names)
    this.#limits = limitsOf(this.#detection.rules, this.#schema)
  }

  #answer(request: AnomalyRequest, { numbers, leftOut, scored, row, tookMs }: Scored): AnomalyResponse {
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
    const features = numbers.length + leftOut.length
    const present = features === 0 ? 1 : numbers.filter((x) => !Number.isNaN(x)).length / features
    return {
      eventId: request.eventId,
      isAnomaly: alerted || hits.length > 0,
      anomalyScore: anomalyScoreOf(mean),
      confidence: hits.length > 0 ? 1 : present * (withoutModel ? 0.5 : 1),
      modelVersion: scored.modelVersionOf(row),
      inferenceTimeMs: Math.round(tookMs),
      featureImportance,
      leftOut: namedOf(leftOut),
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
