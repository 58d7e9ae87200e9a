import type { Logger } from '../../lib/log.ts'
import type { ModelProblems, ModelRecord } from '../detection/model-record.ts'
import type { ModelMaker } from '../scoring/model-makers.ts'
import { decodeModelSet, type ModelSet } from '../scoring/model-set.ts'
import { checksumOf } from '../scoring/record-of.ts'
import type { ModelPolicy } from '../scoring/takeover.ts'
import type { ModelPointer, ModelStore, SwapOutcome } from '../state/state.ts'
import type { InferenceMetrics, Refusal } from './inference-metrics.ts'
import type { Replica } from './replica.ts'

export interface CurrentModelOptions {
  readonly replica: Replica
  readonly makers: readonly ModelMaker[]
  readonly store: ModelStore
  readonly policy: () => ModelPolicy
  readonly metrics: Pick<InferenceMetrics, 'refused' | 'setModel'>
  readonly log: Logger
}

/** The models that the pipeline and the pointer name, and whether this replica has them. */
export class CurrentModel {
  readonly #options: CurrentModelOptions
  #named: ModelPointer | undefined
  #records: readonly ModelRecord[] = []
  /** Versions that cannot be read; they are not asked for again. */
  readonly #damaged = new Set<string>()
  /** Versions that are not stored, said once. */
  readonly #missing = new Set<string>()
  #problems: ModelProblems = {}

  constructor(options: CurrentModelOptions) {
    this.#options = options
  }

  /** As the pointer was read last. */
  get named(): ModelPointer | undefined {
    return this.#named
  }

  /** Of the models that are kept, newest first, as they were read last. */
  get records(): readonly ModelRecord[] {
    return this.#records
  }

  get problems(): ModelProblems {
    return this.#problems
  }

  /** When the model in use was fitted, in milliseconds since 1970. */
  get fittedAt(): number | undefined {
    const version = this.#options.replica.models?.version
    if (version === undefined) return undefined
    return version === this.#named?.version
      ? this.#named.fittedAt
      : this.#records.find((record) => record.version === version)?.fittedAt
  }

  /** The pointer names no model, or one that cannot be used. */
  get isUnusable(): boolean {
    return this.#named === undefined || this.#isRefused(this.#named.version)
  }

  #isRefused(version: string): boolean {
    return this.#damaged.has(version) || this.#missing.has(version)
  }

  async readPointer(): Promise<void> {
    const former = this.#named?.version
    this.#named = await this.#options.store.current()
    if (this.#records.length === 0 || this.#named?.version !== former) await this.readRecords()
  }

  async readRecords(): Promise<void> {
    this.#records = await this.#options.store.records()
  }

  /** Brings what the pipeline or the pointer names into use; the former model stays where that cannot be used. */
  async load(): Promise<void> {
    const { replica, policy } = this.#options
    const { pin, challenger } = policy().model ?? {}
    const own = replica.models
    // The store was emptied: those who come later find the model again.
    if (this.#named === undefined && own !== undefined) await this.#publish(own, this.fittedAt)
    const pinned = pin === undefined ? undefined : await this.#find(pin, 'the pinned model')
    if (pinned !== undefined) this.#take(pinned)
    else if (this.#named !== undefined && !this.#damaged.has(this.#named.version)) {
      const named = await this.#find(this.#named.version, 'the current model')
      if (named !== undefined) this.#take(named)
    }
    const models = challenger === undefined ? undefined : await this.#find(challenger.version, 'the challenger')
    replica.served.setChallenge(models && { models, percentOfKeys: challenger!.percentOfKeys })
    this.#problems = {
      ...(pin !== undefined && pinned === undefined && { pin: this.#problemOf(pin) }),
      ...(challenger !== undefined && models === undefined && { challenger: this.#problemOf(challenger.version) }),
    }
  }

  #problemOf(version: string): string {
    return this.#damaged.has(version) ? `model ${version} cannot be read` : `model ${version} is not kept`
  }

  /** Moves the pointer from what it named last to these models, and uses them if nobody else has moved it. */
  async replace(models: ModelSet, record: ModelRecord): Promise<SwapOutcome> {
    const outcome = await this.#publish(models, record.fittedAt)
    if (outcome !== 'Swapped') return outcome
    this.#take(models)
    await this.addRecord(record)
    return outcome
  }

  /** What is known of a model that is stored. */
  async addRecord(record: ModelRecord): Promise<void> {
    const { store, policy } = this.#options
    const { pin, challenger } = policy().model ?? {}
    const inUse = [this.#named?.version, pin, challenger?.version].filter((version) => version !== undefined)
    await store.putRecord(record, new Set(inUse))
    for (const version of [pin, challenger?.version]) if (version !== undefined) await store.keep(version)
    await this.readRecords()
  }

  /** The model in use, or as the store has it; undefined where that has none that can be used. */
  async #find(version: string, what: string): Promise<ModelSet | undefined> {
    const { replica, makers, store } = this.#options
    const { champion, challenge } = replica.served
    const inUse = [champion, challenge?.models].find((models) => models?.version === version)
    if (inUse !== undefined || this.#damaged.has(version)) return inUse
    const bytes = await store.get(version)
    if (bytes === undefined) {
      if (!this.#missing.has(version)) this.#refuse('Missing', { version }, `${what} is not stored; the former stays`)
      this.#missing.add(version)
      return undefined
    }
    try {
      const models = decodeModelSet(bytes, makers)
      if (models.version !== version) throw new Error(`the artifact is of ${models.version}`)
      const record = this.#records.find((one) => one.version === version)
      if (record !== undefined && record.checksum !== checksumOf(bytes))
        throw new Error('its checksum is not that of its record')
      this.#missing.delete(version)
      // Former models lapse; one that the pipeline names does not.
      if (version !== this.#named?.version) await store.keep(version)
      return models
    } catch (error) {
      this.#damaged.add(version)
      this.#refuse('Damaged', { version, error }, `${what} cannot be read; the former stays`)
      return undefined
    }
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

  #take(models: ModelSet): void {
    const { replica, metrics, log } = this.#options
    if (replica.models?.version === models.version) return
    replica.served.use(models)
    metrics.setModel(models.version)
    log.info({ version: models.version, rowsSeen: models.rowsSeen }, 'model in use')
  }

  #refuse(reason: Refusal, fields: { readonly version: string; readonly error?: unknown }, message: string): void {
    this.#options.metrics.refused('model', reason)
    this.#options.log.warn(fields, message)
  }
}
