import { messageOf } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'
import { managedSelector, manager } from './desired/child.ts'
import { groupOf } from './group-rival.ts'
import { childKinds, claims, pipelines, pods, serviceMonitors } from './kinds.ts'
import { followOptionalKind } from './optional-kind.ts'
import { type Cache, createCache } from './runtime/cache.ts'
import { startInformer } from './runtime/informer.ts'
import type { KubeClient } from './runtime/kube-client.ts'
import type { KubeObject } from './runtime/kube-object.ts'
import { keepOwnedFields } from './runtime/owned-fields.ts'
import type { ReflectorOptions } from './runtime/reflector.ts'
import type { ChildKind } from './runtime/sync.ts'

export interface WatchesOptions extends Pick<ReflectorOptions, 'idleTimeoutMs' | 'backoff'> {
  readonly client: KubeClient
  /** Absent: all. */
  readonly namespaces?: readonly string[] | undefined
  readonly log: Logger
  /** Called when the cluster has come to have ServiceMonitors. */
  readonly onMonitorsServed: () => void
}

/** What the operator sees of the cluster all the time. */
export interface Watches {
  /** With an index `group`; see group-rival.ts. */
  readonly pipelines: Cache
  /** With an index `component`: `namespace/pipeline/component`. */
  readonly pods: Cache
  /** Volumes of Redis, with the same index. */
  readonly claims: Cache
  /** The kinds of children. */
  readonly children: readonly ChildKind[]
  cacheOf(kind: { readonly plural: string }): Cache
  servesMonitors(): boolean
  /** Resolves when every cache holds its first whole list. */
  readonly synced: Promise<unknown>
  /** What the caches lack, for readiness. */
  problem(): string | undefined
  stop(): Promise<void>
}

/** A StatefulSet labels its claims by what it selects. */
const claimSelector = 'app.kubernetes.io/name=anomaly,app.kubernetes.io/component=redis'
const staleAfterMs = 60_000

export function startWatches({ onMonitorsServed, ...options }: WatchesOptions): Watches {
  const keep = keepOwnedFields(manager)
  const ours = { ...options, keep, labelSelector: managedSelector }
  const pipelineCache = createCache({ group: groupOf })
  const podCache = createCache({ component: componentOf })
  const claimCache = createCache({ component: componentOf })
  const monitorCache = createCache()
  const children = [
    ...childKinds.map((resource) => ({ resource, cache: createCache() })),
    { resource: serviceMonitors, cache: monitorCache },
  ]
  const monitors = followOptionalKind({
    ...ours,
    resource: serviceMonitors,
    cache: monitorCache,
    onServed: onMonitorsServed,
  })
  const reflectors = [
    startInformer({ ...options, keep, resource: pipelines, cache: pipelineCache }),
    ...children.filter(({ cache }) => cache !== monitorCache).map((child) => startInformer({ ...ours, ...child })),
    startInformer({ ...ours, keep: withoutSpec, resource: pods, cache: podCache }),
    startInformer({ ...options, keep, labelSelector: claimSelector, resource: claims, cache: claimCache }),
    monitors,
  ]
  return {
    pipelines: pipelineCache,
    pods: podCache,
    claims: claimCache,
    children,
    cacheOf: ({ plural }) => children.find(({ resource }) => resource.plural === plural)!.cache,
    servesMonitors: monitors.isServed,
    synced: Promise.all(reflectors.map(({ synced }) => synced)),
    problem() {
      const waiting = reflectors.filter((reflector) => !reflector.hasSynced())
      if (waiting.length > 0) {
        const failure = waiting.map((reflector) => reflector.failure()).find((error) => error !== undefined)
        const why = failure === undefined ? '' : `: ${messageOf(failure)}`
        return `the first lists have not come yet${why}`
      }
      const staleMs = Math.max(...reflectors.map((reflector) => reflector.staleMs()))
      return staleMs > staleAfterMs ? `a watch has been down for ${Math.round(staleMs / 1000)} s` : undefined
    },
    async stop() {
      await Promise.all(reflectors.map((reflector) => reflector.stop()))
    },
  }
}

/** What Kubernetes recommends to label a pod with. */
export const labelOf = ({ metadata }: KubeObject, name: 'instance' | 'component'): string | undefined =>
  metadata.labels?.[`app.kubernetes.io/${name}`]

const componentOf = (pod: KubeObject): readonly string[] => [
  `${pod.metadata.namespace}/${labelOf(pod, 'instance')}/${labelOf(pod, 'component')}`,
]

/** Of a pod only its name, labels and status are read. */
function withoutSpec({ apiVersion, kind, metadata, status }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, labels, creationTimestamp, deletionTimestamp } = metadata
  const kept = { name, namespace, uid, resourceVersion, labels, creationTimestamp, deletionTimestamp }
  return { apiVersion, kind, metadata: JSON.parse(JSON.stringify(kept)) as KubeObject['metadata'], status }
}
