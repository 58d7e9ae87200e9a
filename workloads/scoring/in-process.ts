import type { ResolvedDetector } from '../../lib/pipeline/resolve-pipeline.ts'
import { carriedColumns } from '../detection/carried-columns.ts'
import { fitModel, type Model, type ModelFit } from '../detection/model.ts'
import { nextRefit } from '../detection/refit-schedule.ts'
import { Reservoir } from '../detection/reservoir.ts'
import type { RowExplanation, ScoredRows } from '../detection/scored-rows.ts'
import type { RowSources } from '../detection/source-shares.ts'
import { ColumnLayout } from './column-layout.ts'
import type { RowBatch, Scorer } from './scorer.ts'
import { createWorkerFitter } from './worker-fitter.ts'

/** Inline: the model changes at exactly the row that is due. Worker: it is fitted beside the scoring and changes when ready. */
export type Fitting = 'Inline' | 'Worker'

type Forest = Extract<ResolvedDetector, { type: 'isolationForest' }>

export interface InProcessScorerOptions {
  readonly detectors: readonly ResolvedDetector[]
  readonly seed: number
  readonly fitting: Fitting
  /** In ms, while serving: then no key takes the place of others in what is learnt beyond its share. */
  readonly clock?: (() => number) | undefined
  /** Told of a fit in a worker that failed; the former model goes on, and the next fit that is due is tried. */
  readonly onFitError?: ((error: unknown) => void) | undefined
}

/** One detector with its model; the reservoir and the rows seen are shared. */
interface FittedForest {
  readonly forest: Forest
  model: Model | undefined
  /** Of the model's columns. */
  layout: ColumnLayout
  due: number
  isFitting: boolean
  /** Another fit came due during the one under way. */
  isOverdue: boolean
}

/** Scores rows in this process and learns from every one of them. */
export class InProcessScorer implements Scorer {
  readonly #options: InProcessScorerOptions
  readonly #forests: FittedForest[]
  readonly #reservoir: Reservoir
  #version = 'LEARNING'
  #fitting: Promise<void> = Promise.resolve()
  readonly #worker = createWorkerFitter()
  #isClosed = false

  constructor(options: InProcessScorerOptions) {
    this.#options = options
    this.#reservoir = new Reservoir({ seed: options.seed })
    this.#forests = options.detectors
      .filter((detector) => detector.type === 'isolationForest')
      .map((forest) => ({
        forest,
        model: undefined,
        layout: new ColumnLayout([]),
        due: nextRefit(0, forest.refitEvents),
        isFitting: false,
        isOverdue: false,
      }))
  }

  get modelVersion(): string {
    return this.#version
  }

  async score(batch: RowBatch): Promise<ScoredRows> {
    const { columns, count } = batch
    const width = columns.length
    const surprisals = this.#forests.map(() => new Float64Array(count).fill(Number.NaN))
    const explanations = new Map<number, RowExplanation[]>()
    const versions: { readonly from: number; readonly version: string }[] = []
    for (let from = 0; from < count; ) {
      const due = Math.min(...this.#forests.map((fitted) => fitted.due))
      const to = Math.min(count, from + Math.max(1, due - this.#reservoir.rowsSeen))
      const rows = batch.rows.subarray(from * width, to * width)
      versions.push({ from, version: this.#version })
      for (const [index, { model, layout }] of this.#forests.entries()) {
        if (model === undefined) continue
        const out = surprisals[index]!.subarray(from, to)
        const laid = layout.lay({ columns, rows, count: to - from })
        model.score(laid.rows, to - from, laid.width, out)
        for (let row = 0; row < to - from; row++)
          if (out[row]! >= batch.explainFrom)
            explain(
              explanations,
              from + row,
              index,
              model,
              laid.rows.subarray(row * laid.width, (row + 1) * laid.width),
              out[row]!,
            )
      }
      this.#reservoir.add(rows, to - from, width, this.#sourcesOf(batch, from, to))
      if (this.#reservoir.rowsSeen >= due) this.#refit(columns)
      from = to
    }
    const modelVersionOf = (row: number) => versions.findLast(({ from }) => from <= row)?.version ?? this.#version
    return { modelVersionOf, surprisals, explanations }
  }

  #sourcesOf({ keyIds }: RowBatch, from: number, to: number): RowSources | undefined {
    const { clock } = this.#options
    if (clock === undefined || keyIds === undefined) return undefined
    return { caller: 0, keys: keyIds.subarray(from, to), now: clock() }
  }

  /** Settles when no fit is under way. */
  async idle(): Promise<void> {
    await this.#fitting
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#worker.close()
  }

  #refit(columns: readonly string[]): void {
    const { seed, fitting } = this.#options
    const { rowsSeen } = this.#reservoir
    for (const fitted of this.#forests) {
      if (rowsSeen < fitted.due) continue
      fitted.due = nextRefit(rowsSeen, fitted.forest.refitEvents)
      if (fitted.isFitting) {
        fitted.isOverdue = true
        continue
      }
      const fit: ModelFit = {
        ...carriedColumns({ rows: this.#reservoir.rows(), columns }),
        rowsSeen,
        trees: fitted.forest.trees,
        sampleSize: fitted.forest.sampleSize,
        seed,
      }
      if (fitting === 'Inline') this.#swap(fitted, fitModel(fit))
      else this.#fitting = this.#fitAfter(this.#fitting, fitted, fit)
    }
  }

  #swap(fitted: FittedForest, model: Model): void {
    fitted.model = model
    fitted.layout = new ColumnLayout(model.columns)
    this.#version = this.#forests.map(({ model }) => model?.version ?? 'LEARNING').join('+')
  }

  async #fitAfter(former: Promise<void>, fitted: FittedForest, fit: ModelFit): Promise<void> {
    fitted.isFitting = true
    await former
    try {
      if (!this.#isClosed) this.#swap(fitted, await this.#worker.fit(fit))
    } catch (error) {
      if (!this.#isClosed) this.#options.onFitError?.(error)
    } finally {
      if (fitted.isOverdue) fitted.due = this.#reservoir.rowsSeen + 1
      fitted.isFitting = false
      fitted.isOverdue = false
    }
  }
}

function explain(
  explanations: Map<number, RowExplanation[]>,
  at: number,
  index: number,
  model: Model,
  row: Float64Array,
  surprisal: number,
): void {
  const reasons = explanations.get(at) ?? []
  for (const { column, observed, expected, contribution } of model.explain(row, surprisal))
    reasons.push({ model: index, column, observed, expected, contribution })
  explanations.set(at, reasons)
}
