import { AppError } from '../../lib/errors.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { FeatureUse } from '../judging/feature-use.ts'
import type { FeatureStore } from '../state/state.ts'

export interface FeatureNamesOptions {
  readonly store: Pick<FeatureStore, 'extend' | 'use'>
  /** How long a pipeline knows a feature that no event carries, in ms. */
  readonly ttlMs: number
  readonly log: Logger
  /** How often the names are compared with the store's, in ms. */
  readonly everyMs?: number | undefined
}

export interface FeatureNames extends Part {
  /** Another object where another list has taken the place of ours: then positions mean other features. */
  readonly schema: FeatureSchema
  /** Makes names known to all processes. Where the store is away they stay unknown. */
  extend(names: readonly string[]): Promise<void>
}

/** The pipeline's feature names, in the order that all processes share. */
export function createFeatureNames({ store, ttlMs, log, everyMs = 5000 }: FeatureNamesOptions): FeatureNames {
  let schema = new FeatureSchema()
  let asking: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  const use = new FeatureUse({ store, ttlMs, log, schema: () => schema })

  async function ask(names: readonly string[]): Promise<void> {
    try {
      const all = await store.extend([...schema.names, ...names])
      if (schema.names.some((name, i) => all[i] !== name && all[i] !== '')) schema = new FeatureSchema(all)
      else schema.adopt(all, names)
    } catch (error) {
      if (!(error instanceof AppError && error.retriable)) throw error
    } finally {
      asking = undefined
    }
  }

  return {
    name: 'feature names',
    get schema() {
      return schema
    },
    async extend(names) {
      const missing = () => names.filter((name) => schema.indexOf(name) === undefined)
      if (missing().length > 0) await asking
      if (missing().length === 0) return
      asking ??= ask(missing())
      await asking
    },
    async start() {
      await ask([])
      timer = setInterval(() => {
        asking ??= ask([]).catch(() => {})
      }, everyMs)
      timer.unref()
      use.start()
    },
    async stop() {
      clearInterval(timer)
      await use.stop()
    },
  }
}
