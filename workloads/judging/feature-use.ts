import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import { type FeatureStore, usedAtMostMs } from '../state/state.ts'

export interface FeatureUseOptions {
  readonly store: Pick<FeatureStore, 'use'>
  readonly schema: () => FeatureSchema
  /** How long a pipeline knows a feature that no event carries, in ms. */
  readonly ttlMs: number
  readonly log: Logger
}

/** Tells the store which features events carry, and forgets those that none has carried for long. */
export class FeatureUse {
  readonly #options: FeatureUseOptions
  #timer: NodeJS.Timeout | undefined

  constructor(options: FeatureUseOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => void this.tell(), usedAtMostMs / 2).unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.tell()
  }

  /** Never throws: what could not be told is told the next time that an event carries it. */
  async tell(): Promise<void> {
    const { store, ttlMs, log } = this.#options
    const schema = this.#options.schema()
    const used = schema.takeUsed()
    if (used.length === 0) return
    try {
      adoptForgotten(schema, await store.use(used, ttlMs), log)
    } catch (error) {
      if (!(error instanceof AppError && error.retriable)) log.warn({ error }, 'cannot tell which features are used')
    }
  }
}

/** Forgets what has an empty place in the list now; a list in another order means nothing here. */
export function adoptForgotten(schema: FeatureSchema, known: readonly string[], log: Pick<Logger, 'info'>): void {
  const before = [...schema.names]
  if (before.some((name, i) => i < known.length && known[i] !== name && known[i] !== '')) return
  schema.adopt(known)
  const names = before.filter((name) => name !== '' && schema.indexOf(name) === undefined)
  if (names.length > 0) log.info({ names }, 'features that no event has carried for long are forgotten')
}
