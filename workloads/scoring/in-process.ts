import type { ResolvedDetector } from '../../lib/pipeline/resolve-pipeline.ts'
import { carriedColumns } from '../detection/carried-columns.ts'
import { nominalThreshold } from '../detection/decision.ts'
import type { Model, ModelSample } from '../detection/model.ts'
import { keptOf, type ModelProblems, type ModelRecord, refusalsOf } from '../detection/model-record.ts'
import { nextRefit } from '../detection/refit-schedule.ts'
import { Reservoir } from '../detection/reservoir.ts'
import type { RowExplanation, ScoredRows } from '../detection/scored-rows.ts'
import type { RowSources } from '../detection/source-shares.ts'
import { joined, type TimeSpan } from '../detection/time-span.ts'
import type { ChallengeFigures } from './model-figures.ts'
import { type ModelMaker, modelMakers, refitEventsOf } from './model-makers.ts'
import { ModelSet } from './model-set.ts'
import type { OnnxRunner } from './onnx-runner.ts'
import { RecentRows } from './recent-rows.ts'
import { recordOf } from './record-of.ts'
import type { RowBatch, Scorer } from './scorer.ts'
import { ServedModels } from './served-models.ts'
import { isHeld, type ModelPolicy, shadowRows, takeover } from './takeover.ts'
import { createWorkerFitter } from './worker-fitter.ts'

/** Inline: the model changes at exactly the row that is due. Worker: it is fitted beside the scoring and changes when ready. */
export type Fitting = 'Inline' | 'Worker'

export interface InProcessScorerOptions {
  readonly detectors: readonly ResolvedDetector[]
  /** Of those detectors that have a model of somebody else's. */
  readonly onnx?: readonly OnnxRunner[] | undefined
  readonly seed: number
  readonly fitting: Fitting
  /** What the pipeline says now of its models and of what alerts. */
  readonly detection?: (() => ModelPolicy) | undefined
  /** In ms, while serving: then no key takes the place of others in what is learnt beyond its share. */
  readonly clock?: (() => number) | undefined
  /** Told of a fit in a worker that failed; the former model goes on, and the next fit that is due is tried. */
  readonly onFitError?: ((error: unknown) => void) | undefined
  /** Told of each model that was fitted, and whether it took over. */
  readonly onModel?: ((record: ModelRecord) => void) | undefined
}

interface Kept {
  readonly record: ModelRecord
  readonly models: ModelSet
}

/** Scores rows in this process and learns from every one of them. */
export class InProcessScorer implements Scorer {
  readonly #options: InProcessScorerOptions
  readonly #makers: readonly ModelMaker[]
  readonly #refitEvents: number
  readonly #reservoir: Reservoir
  readonly #recent = new RecentRows(shadowRows)
  readonly #served = new ServedModels(() => nominalThreshold(this.#policy))
  /** Newest first. */
  #kept: readonly Kept[] = []
  /** What took over last. */
  #newest: ModelSet | undefined
  #times: TimeSpan | undefined
  #due: number
  #isFitting = false
  /** Another fit came due during the one under way. */
  #isOverdue = false
  #fitting: Promise<void> = Promise.resolve()
  readonly #worker = createWorkerFitter()
  #isClosed = false

  constructor(options: InProcessScorerOptions) {
    this.#options = options
    this.#reservoir = new Reservoir({ seed: options.seed })
    this.#makers = modelMakers(options.detectors, options.onnx)
    this.#refitEvents = refitEventsOf(options.detectors)
    this.#due = nextRefit(0, this.#refitEvents)
  }

  get modelVersion(): string {
    return this.#served.champion?.version ?? 'LEARNING'
  }

  get #policy(): ModelPolicy {
    return this.#options.detection?.() ?? {}
  }

  /** Of the models that are kept, newest first. */
  get records(): readonly ModelRecord[] {
    return this.#kept.map(({ record }) => record)
  }

  /** The champion beside the challenger; undefined without one. */
  figures(): ChallengeFigures | undefined {
    return this.#served.figures()
  }

  /** What the pipeline names and is not kept. */
  get problems(): ModelProblems {
    const { pin, challenger } = this.#policy.model ?? {}
    return {
      ...(pin !== undefined && this.#keptAs(pin) === undefined && { pin: notKept(pin) }),
      ...(challenger !== undefined &&
        this.#keptAs(challenger.version) === undefined && { challenger: notKept(challenger.version) }),
    }
  }

  async score(batch: RowBatch): Promise<ScoredRows> {
    const { columns, count } = batch
    const width = columns.length
    const surprisals = this.#makers.map(() => new Float64Array(count).fill(Number.NaN))
    const explanations = new Map<number, readonly RowExplanation[]>()
    const versions: { readonly from: number; readonly version: string }[] = []
    const challenged = new Map<number, string>()
    this.#follow()
    if (batch.scoreOnly !== true) this.#times = joined(this.#times, batch.times)
    for (let from = 0; from < count; ) {
      const to = Math.min(count, from + Math.max(1, this.#due - this.#reservoir.rowsSeen))
      const keyIds = batch.keyIds?.subarray(from, to)
      const rows = batch.rows.subarray(from * width, to * width)
      const part = { columns, rows, count: to - from, explainFrom: batch.explainFrom, keyIds }
      versions.push({ from, version: this.modelVersion })
      const scores = this.#served.score(part)
      for (const [model, ofModel] of (scores?.surprisals ?? []).entries()) surprisals[model]!.set(ofModel, from)
      for (const [row, reasons] of scores?.explanations ?? []) explanations.set(from + row, reasons)
      for (const row of scores?.challenged?.rows ?? []) challenged.set(from + row, scores!.challenged!.version)
      if (batch.scoreOnly !== true) {
        this.#reservoir.add(rows, to - from, width, this.#sourcesOf(keyIds))
        this.#recent.add(part)
      }
      if (this.#reservoir.rowsSeen >= this.#due) this.#refit(columns)
      from = to
    }
    const modelVersionOf = (row: number) =>
      challenged.get(row) ?? versions.findLast(({ from }) => from <= row)?.version ?? this.modelVersion
    return { modelVersionOf, surprisals, explanations }
  }

  #sourcesOf(keys: Uint32Array | undefined): RowSources | undefined {
    const { clock } = this.#options
    return clock === undefined || keys === undefined ? undefined : { caller: 0, keys, now: clock() }
  }

  /** Settles when no fit is under way. */
  async idle(): Promise<void> {
    await this.#fitting
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#worker.close()
  }

  #keptAs(version: string): ModelSet | undefined {
    return this.#kept.find(({ record }) => record.version === version)?.models
  }

  /** Uses what the pipeline names, as far as it is kept. */
  #follow(): void {
    const { pin, challenger } = this.#policy.model ?? {}
    const wanted = (pin === undefined ? undefined : this.#keptAs(pin)) ?? this.#newest
    if (wanted !== undefined && wanted !== this.#served.champion) this.#served.use(wanted)
    const models = challenger === undefined ? undefined : this.#keptAs(challenger.version)
    this.#served.setChallenge(models && { models, percentOfKeys: challenger!.percentOfKeys })
  }

  #refit(columns: readonly string[]): void {
    const { seed, fitting } = this.#options
    const { rowsSeen } = this.#reservoir
    this.#due = nextRefit(rowsSeen, this.#refitEvents)
    if (isHeld(this.#policy.model?.pin, this.#served.champion, this.#refitEvents)) return
    if (this.#isFitting) {
      this.#isOverdue = true
      return
    }
    const sample = { ...carriedColumns({ rows: this.#reservoir.rows(), columns }), rowsSeen, seed }
    if (fitting === 'Inline') this.#consider(new ModelSet(this.#makers.map((maker) => maker.fit(sample))))
    else this.#fitting = this.#fitInWorker(sample)
  }

  /** A model was fitted: it serves if what it says of the last rows is within bounds. */
  #consider(candidate: ModelSet): void {
    const { clock, onModel } = this.#options
    const { model } = this.#policy
    const result = takeover({
      present: this.#newest,
      candidate,
      recent: this.#recent.rows(),
      threshold: nominalThreshold(this.#policy),
      refusals: refusalsOf(this.records),
    })
    const record = recordOf(candidate, candidate.encode(), { ...result, times: this.#times, fittedAt: clock?.() })
    const all = [{ record, models: candidate }, ...this.#kept]
    const named = [model?.pin, model?.challenger?.version, this.#newest?.version]
    const stay = keptOf(
      all.map((one) => one.record),
      new Set(named.filter((version) => version !== undefined)),
    )
    this.#kept = all.filter((one) => stay.includes(one.record))
    if (result.outcome !== 'Refused') this.#newest = candidate
    this.#follow()
    onModel?.(record)
  }

  async #fitInWorker(sample: ModelSample): Promise<void> {
    this.#isFitting = true
    try {
      const models: Model[] = []
      for (const { fitIn } of this.#makers) models.push(await fitIn(this.#worker.fit, sample))
      if (!this.#isClosed) this.#consider(new ModelSet(models))
    } catch (error) {
      if (!this.#isClosed) this.#options.onFitError?.(error)
    } finally {
      if (this.#isOverdue) this.#due = this.#reservoir.rowsSeen + 1
      this.#isFitting = false
      this.#isOverdue = false
    }
  }
}

const notKept = (version: string): string => `model ${version} is not kept`
