import { AppError } from '../../lib/errors.ts'
import { maxFeatures } from '../detection/feature-schema.ts'
import { Reservoir } from '../detection/reservoir.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import { ColumnLayout, isPrefix } from '../scoring/column-layout.ts'
import type { RowBatch, Scorer } from '../scoring/scorer.ts'
import type { ModelSet } from './model-set.ts'

/** What a row has beside the features: the value and the profile's view of it. */
const moreColumns = 16

export interface ReplicaOptions {
  /** Detectors that need a model. */
  readonly modelNames: readonly string[]
  readonly seed: number | string
}

/** What one inference process holds: the models that score rows, and a reservoir of the rows that it saw. */
export class Replica implements Scorer {
  readonly modelNames: readonly string[]
  #models: ModelSet | undefined
  #reservoir: Reservoir
  #layout = new ColumnLayout([])

  constructor({ modelNames, seed }: ReplicaOptions) {
    this.modelNames = modelNames
    this.#reservoir = new Reservoir({ seed })
  }

  get modelVersion(): string {
    return this.modelNames.length === 0 ? 'NONE' : (this.#models?.version ?? 'LEARNING')
  }

  get models(): ModelSet | undefined {
    return this.#models
  }

  get reservoir(): Reservoir {
    return this.#reservoir
  }

  /** Names of the reservoir's columns. */
  get columns(): readonly string[] {
    return this.#layout.columns
  }

  /** Models that score from the next batch on. */
  use(models: ModelSet): void {
    this.#models = models
  }

  /** Takes over what an earlier process of this replica learnt; only before any row came. */
  resume(reservoir: Reservoir, columns: readonly string[]): void {
    this.#reservoir = reservoir
    this.#layout = new ColumnLayout(columns)
  }

  score(batch: RowBatch): Promise<ScoredRows> {
    return new Promise((resolve) => resolve(this.scoreNow(batch)))
  }

  /** @throws AppError InvalidArgument where there are too many columns */
  scoreNow(batch: RowBatch): ScoredRows {
    this.#know(batch.columns)
    const modelVersion = this.modelVersion
    const models = this.#models
    const scores = models?.score(batch) ?? {
      surprisals: this.modelNames.map(() => new Float64Array(batch.count).fill(Number.NaN)),
      explanations: new Map(),
    }
    const { rows, width } = this.#layout.lay(batch)
    this.#reservoir.add(rows, batch.count, width)
    return { modelVersionOf: () => modelVersion, ...scores }
  }

  #know(columns: readonly string[]): void {
    const own = this.#layout.columns
    if (columns === own) return
    const extended = isPrefix(own, columns)
      ? columns.length > own.length
        ? columns
        : own
      : [...own, ...columns.filter((column) => !own.includes(column))]
    if (extended.length > maxFeatures + moreColumns)
      throw new AppError('InvalidArgument', `rows have at most ${maxFeatures} features, these make ${extended.length}`)
    if (extended.length > own.length) this.#layout = new ColumnLayout(extended)
  }
}
