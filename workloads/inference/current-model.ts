import type { Logger } from '../../lib/log.ts'
import type { ModelPointer, ModelStore, SwapOutcome } from '../state/state.ts'
import type { InferenceMetrics, Refusal } from './inference-metrics.ts'
import { decodeModelSet, type ModelSet } from './model-set.ts'
import type { Replica } from './replica.ts'

export interface CurrentModelOptions {
  readonly replica: Replica
  /** How many models a set has. */
  readonly size: number
  readonly store: ModelStore
  readonly metrics: Pick<InferenceMetrics, 'refused' | 'setModel'>
  readonly log: Logger
}

/** The model that the pointer names, and whether this replica has it. */
export class CurrentModel {
  readonly #options: CurrentModelOptions
  #named: ModelPointer | undefined
  #refused: string | undefined
  #fittedAt: number | undefined

  constructor(options: CurrentModelOptions) {
    this.#options = options
  }

  /** As the pointer was read last. */
  get named(): ModelPointer | undefined {
    return this.#named
  }

  /** When the model in use was fitted, in milliseconds since 1970. */
  get fittedAt(): number | undefined {
    return this.#fittedAt
  }

  /** The pointer names no model, or one that was refused. */
  get isUnusable(): boolean {
    return this.#refused === this.#named?.version
  }

  async readPointer(): Promise<void> {
    this.#named = await this.#options.store.current()
  }

  /** Brings what the pointer names into use, once; the former model stays where that cannot be used. */
  async load(): Promise<void> {
    const { replica, size, store } = this.#options
    const own = replica.models
    if (this.#named === undefined) {
      // The store was emptied: those who come later find the model again.
      if (own !== undefined) await this.#publish(own, this.#fittedAt)
      return
    }
    const { version, fittedAt } = this.#named
    if (version === own?.version || version === this.#refused) return
    const bytes = await store.get(version)
    if (bytes === undefined) {
      this.#refuse('Missing', { version }, 'the current model is not stored; the former stays')
      return
    }
    try {
      const models = decodeModelSet(bytes, size)
      if (models.version !== version) throw new Error(`the artifact is of ${models.version}`)
      this.#take(models, fittedAt)
    } catch (error) {
      this.#refuse('Damaged', { version, error }, 'the current model cannot be read; the former stays')
    }
  }

  /** Moves the pointer from what it named last to these models, and uses them if nobody else has moved it. */
  async replace(models: ModelSet, fittedAt: number): Promise<SwapOutcome> {
    const outcome = await this.#publish(models, fittedAt)
    if (outcome === 'Swapped') this.#take(models, fittedAt)
    return outcome
  }

  async #publish(models: ModelSet, fittedAt: number | undefined): Promise<SwapOutcome> {
    const { store } = this.#options
    await store.put(models.version, models.encode())
    const { version, rowsSeen } = models
    const next: ModelPointer = { version, rowsSeen, ...(fittedAt === undefined ? {} : { fittedAt }) }
    const outcome = await store.swap(this.#named?.version, next)
    if (outcome === 'Swapped') this.#named = next
    return outcome
  }

  #take(models: ModelSet, fittedAt: number | undefined): void {
    const { replica, metrics, log } = this.#options
    this.#refused = undefined
    this.#fittedAt = fittedAt
    replica.use(models)
    metrics.setModel(models.version)
    log.info({ version: models.version, rowsSeen: models.rowsSeen }, 'model in use')
  }

  #refuse(reason: Refusal, fields: { readonly version: string; readonly error?: unknown }, message: string): void {
    this.#refused = fields.version
    this.#options.metrics.refused('model', reason)
    this.#options.log.warn(fields, message)
  }
}
