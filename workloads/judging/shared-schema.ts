import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import type { FeatureStore } from '../state/state.ts'
import { FeatureUse } from './feature-use.ts'
import type { NewFeatures } from './new-features.ts'

export interface SharedSchemaOptions {
  readonly store: FeatureStore
  /** How long a pipeline knows a feature that no event carries, in ms. */
  readonly ttlMs: number
  readonly log: Logger
  readonly newFeatures: NewFeatures
}

export interface SharedSchema extends Part {
  readonly schema: FeatureSchema
  /** Makes names known to all processes. @throws AppError retriable while the store is away: then they stay unknown */
  extend(names: readonly string[]): Promise<void>
}

/** The feature names of a pipeline, in the order that all its processes share. */
export function createSharedSchema({ store, ttlMs, log, newFeatures }: SharedSchemaOptions): SharedSchema {
  const schema = new FeatureSchema()
  const use = new FeatureUse({ store, ttlMs, log, schema: () => schema })
  let isClosed = false
  return {
    name: 'features',
    schema,
    async start() {
      // Where the store is away, names come with the first event that has them.
      const known = await store.names().catch(() => [])
      schema.adopt(known)
      use.start()
    },
    stop: () => use.stop(),
    async extend(names) {
      try {
        // With all that is known, so that a store that lost the names gets them back in the same order.
        const known = await store.extend([...schema.names, ...names])
        if (schema.names.some((name, i) => known[i] !== name && known[i] !== ''))
          log.error(
            { known: known.length },
            'feature names have another order in the store: its state means nothing here',
          )
        const before = new Set(schema.names)
        schema.adopt(known, names)
        newFeatures.announce(schema.names.filter((name) => name !== '' && !before.has(name)))
        isClosed = false
      } catch (error) {
        // Without the store every process would have an order of its own.
        if (!isClosed)
          log.warn({ error, names }, 'new features cannot be made known: they are left aside until they can')
        isClosed = true
        throw error
      }
    },
  }
}
