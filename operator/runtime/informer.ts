import type { Cache } from './cache.ts'
import { type Reflector, type ReflectorOptions, startReflector } from './reflector.ts'

export interface InformerOptions extends Omit<ReflectorOptions, 'namespace' | 'within'> {
  /** One reflector for each, into the same cache; absent: one for all namespaces. */
  readonly namespaces?: readonly string[] | undefined
}

/** Keeps one cache true for one kind, over all namespaces or some. */
export function startInformer({ namespaces, ...options }: InformerOptions): Reflector & { readonly cache: Cache } {
  const reflectors =
    namespaces === undefined
      ? [startReflector(options)]
      : namespaces.map((namespace) =>
          startReflector({ ...options, namespace, within: (object) => object.metadata.namespace === namespace }),
        )
  const synced = Promise.all(reflectors.map((reflector) => reflector.synced)).then(() => {})
  synced.catch(() => {})
  return {
    cache: options.cache,
    synced,
    hasSynced: () => reflectors.every((reflector) => reflector.hasSynced()),
    staleMs: () => Math.max(...reflectors.map((reflector) => reflector.staleMs())),
    failure: () => reflectors.map((reflector) => reflector.failure()).find((failure) => failure !== undefined),
    async stop() {
      await Promise.all(reflectors.map((reflector) => reflector.stop()))
    },
  }
}
