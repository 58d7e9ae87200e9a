import type { Surprisal } from '../detection/detector.ts'
import { maxFeatures } from '../detection/feature-schema.ts'
import { Reservoir } from '../detection/reservoir.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import { sourceIdOf, textHash } from '../detection/text-hash.ts'
import { joined, type TimeSpan } from '../detection/time-span.ts'
import { ColumnLayout, isPrefix } from '../scoring/column-layout.ts'
import type { ModelSet } from '../scoring/model-set.ts'
import { RecentRows } from '../scoring/recent-rows.ts'
import type { RowBatch, Scorer } from '../scoring/scorer.ts'
import { ServedModels, type ServedScores } from '../scoring/served-models.ts'
import { shadowRows } from '../scoring/takeover.ts'
import { KnownColumns, ownColumns } from './known-columns.ts'

const maxColumns = maxFeatures + ownColumns.length

/** What was scored, and the columns that took no part. */
export interface ReplicaScores extends ScoredRows {
  /** Of the rows that no challenger decided on. */
  readonly modelVersion: string
  readonly challenged?: ServedScores['challenged']
  readonly leftOut: readonly string[]
}

export interface ReplicaOptions {
  /** Detectors that need a model. */
  readonly modelNames: readonly string[]
  readonly seed: number | string
  /** Monotonic, in ms. */
  readonly clock: () => number
  /** Surprisal that an event must reach to alert. */
  readonly threshold: () => Surprisal
}

/** What one inference process holds: the models that score rows, and a reservoir of the rows that it saw. */
export class Replica implements Scorer {
  readonly modelNames: readonly string[]
  /** Only these columns are scored and learnt. */
  readonly known = new KnownColumns()
  readonly served: ServedModels
  /** The last ones that were learnt. */
  readonly recent = new RecentRows(shadowRows)
  #times: TimeSpan | undefined
  #reservoir: Reservoir
  #layout = new ColumnLayout([])
  readonly #clock: () => number

  constructor({ modelNames, seed, clock, threshold }: ReplicaOptions) {
    this.served = new ServedModels(threshold)
    this.modelNames = modelNames
    this.#clock = clock
    this.#reservoir = new Reservoir({ seed })
  }

  get modelVersion(): string {
    return this.modelNames.length === 0 ? 'NONE' : (this.models?.version ?? 'LEARNING')
  }

  get models(): ModelSet | undefined {
    return this.served.champion
  }

  /** Of the first and the last event that were learnt. */
  get times(): TimeSpan | undefined {
    return this.#times
  }

  get reservoir(): Reservoir {
    return this.#reservoir
  }

  /** Names of the reservoir's columns. */
  get columns(): readonly string[] {
    return this.#layout.columns
  }

  /** Takes over what an earlier process of this replica learnt; only before any row came. */
  resume(reservoir: Reservoir, columns: readonly string[], times: TimeSpan | undefined): void {
    this.#times = joined(times, this.#times)
    this.#reservoir = reservoir
    this.#layout = new ColumnLayout(columns)
  }

  score(batch: RowBatch): Promise<ReplicaScores> {
    return new Promise((resolve) => resolve(this.scoreNow(batch)))
  }

  /** @param caller who sent the rows, as far as is known: bounds its part in what is learnt */
  scoreNow(given: RowBatch, caller = ''): ReplicaScores {
    const { batch, leftOut } = this.known.select(given)
    const modelVersion = this.modelVersion
    const scores: ServedScores = this.served.score(batch) ?? {
      surprisals: this.modelNames.map(() => new Float64Array(batch.count).fill(Number.NaN)),
      explanations: new Map(),
    }
    if (batch.scoreOnly !== true) this.#learn(batch, caller)
    const { challenged } = scores
    const ofChallenger = new Set(challenged?.rows)
    const modelVersionOf = (row: number) => (ofChallenger.has(row) ? challenged!.version : modelVersion)
    return { modelVersion, modelVersionOf, leftOut, ...scores }
  }

  #learn(batch: RowBatch, from: string): void {
    this.#extend(batch.columns)
    this.recent.add(batch)
    this.#times = joined(this.#times, batch.times)
    const { rows, width } = this.#layout.lay(batch)
    const caller = sourceIdOf(textHash(from))
    // Rows that do not say whose they are count as one key's.
    const keys = batch.keyIds ?? new Uint32Array(batch.count).fill(caller)
    this.#reservoir.add(rows, batch.count, width, { caller, keys, now: this.#clock() })
  }

  /** Columns of the reservoir stay where they are. Where names have come and gone, there may be no place for another. */
  #extend(columns: readonly string[]): void {
    const own = this.#layout.columns
    if (columns === own) return
    const extended = isPrefix(own, columns)
      ? columns.length > own.length
        ? columns
        : own
      : [...own, ...columns.filter((column) => !own.includes(column))].slice(0, maxColumns)
    if (extended.length > own.length) this.#layout = new ColumnLayout(extended)
  }
}
