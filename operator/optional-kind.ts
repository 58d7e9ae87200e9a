import { definitions } from './kinds.ts'
import { createCache } from './runtime/cache.ts'
import { type InformerOptions, startInformer } from './runtime/informer.ts'
import type { KubeObject } from './runtime/kube-object.ts'
import { statusOf } from './runtime/kube-status.ts'
import { type Reflector, startReflector } from './runtime/reflector.ts'

export interface OptionalKindOptions extends Omit<InformerOptions, 'fieldSelector'> {
  /** Called when the cluster has come to have the kind, and the cache its objects. */
  readonly onServed: () => void
}

export interface OptionalKind extends Reflector {
  /** Whether the cluster has the kind, and the cache its objects. */
  isServed(): boolean
}

/**
 * Keeps the cache true for a kind whose CRD may come and go: a watch waits for that, and nothing is asked meanwhile. Who may
 * not see the CRD does without the kind.
 */
export function followOptionalKind({ onServed, ...options }: OptionalKindOptions): OptionalKind {
  const { namespaces: _, labelSelector: __, keep: ___, resource, cache, ...common } = options
  const [group, version] = resource.apiVersion.split('/')
  const definitionCache = createCache()
  const forbidden = Promise.withResolvers<void>()
  let informer: Reflector | undefined
  let hasSynced = false
  let former: Promise<unknown> = Promise.resolve()

  definitionCache.subscribe(({ type, object }) => {
    const isServed = type !== 'deleted' && isEstablished(object, version)
    if (isServed && informer === undefined) {
      informer = startInformer(options)
      informer.synced.then(onServed, () => {})
    } else if (!isServed && informer !== undefined) {
      former = Promise.all([former, informer.stop()])
      informer = undefined
      for (const gone of [...cache.values()]) cache.remove(gone)
    }
  })
  const definition = startReflector({
    ...common,
    resource: definitions,
    cache: definitionCache,
    fieldSelector: `metadata.name=${resource.plural}.${group}`,
    onFailure: (error) => {
      if (isForbidden(error)) forbidden.resolve()
    },
  })
  const synced = Promise.race([definition.synced, forbidden.promise])
    // The kind may go again before its objects came.
    .then(() => informer?.synced.catch(() => {}))
    .then(() => {
      hasSynced = true
    })
  synced.catch(() => {})
  const definitionStaleMs = () => (isForbidden(definition.failure()) ? 0 : definition.staleMs())

  return {
    synced,
    hasSynced: () => hasSynced,
    isServed: () => informer?.hasSynced() === true,
    staleMs: () => Math.max(definitionStaleMs(), informer?.staleMs() ?? 0),
    failure: () => definition.failure() ?? informer?.failure(),
    async stop() {
      await Promise.all([definition.stop(), informer?.stop(), former])
    },
  }
}

const isForbidden = (error: unknown): boolean => statusOf(error)?.code === 403

function isEstablished({ metadata, spec, status }: KubeObject, version: string | undefined): boolean {
  const { versions = [] } = (spec ?? {}) as { versions?: readonly { name: string; served: boolean }[] }
  const { conditions = [] } = (status ?? {}) as { conditions?: readonly { type: string; status: string }[] }
  const established = conditions.find(({ type }) => type === 'Established')
  return (
    metadata.deletionTimestamp === undefined &&
    established?.status === 'True' &&
    versions.some(({ name, served }) => name === version && served)
  )
}
