import { AppError } from '../../lib/errors.ts'
import type { Cache } from './cache.ts'
import type { Drift } from './drift.ts'
import type { CallOptions, KubeClient } from './kube-client.ts'
import { controllerOf, describeObject, type KubeObject, keyOf, type Resource } from './kube-object.ts'
import { isNamespaceTerminating, statusOf } from './kube-status.ts'

/** A kind of child, and where its objects are seen. */
export interface ChildKind {
  readonly resource: Resource
  /** Fed by reflectors that keep with `keepOwnedFields(fieldManager)`. */
  readonly cache: Cache
}

/** What was done to an object. */
export interface Applied {
  readonly object: KubeObject
  readonly outcome: 'unchanged' | 'created' | 'updated' | 'healed'
  /** What was healed, where that is known. */
  readonly drift?: Drift | undefined
}

export interface SyncOptions extends CallOptions {
  /** Without which desired objects (`describeObject`) this one must not be: where one of them failed, it is skipped. */
  readonly needs?: (object: KubeObject) => readonly string[]
}

export interface SyncResult {
  /** What was done to each desired object that did not fail. */
  readonly applied: readonly Applied[]
  /** Desired objects that were left as they are, because one that they need failed. */
  readonly skipped: readonly KubeObject[]
  readonly pruned: readonly KubeObject[]
  readonly failures: readonly { readonly object: KubeObject; readonly error: unknown }[]
}

/**
 * Applies all that is desired, in order, and deletes what else the owner controls. What fails does not keep the rest from
 * being applied, but for those that need it, and nothing is deleted then. Objects that are being deleted are left alone.
 */
export type Sync = (owner: KubeObject, desired: readonly KubeObject[], options?: SyncOptions) => Promise<SyncResult>

export interface SyncTools {
  readonly client: KubeClient
  readonly kinds: readonly ChildKind[]
  readonly keep: (object: KubeObject) => KubeObject
  readonly apply: (intent: KubeObject, options: CallOptions) => Promise<Applied>
  readonly assertMayWrite: (what: string) => void
  /** Takes in what a write came to. */
  readonly take: (cache: Cache, object: KubeObject) => void
}

export function createSync({ client, kinds, keep, apply, assertMayWrite, take }: SyncTools): Sync {
  async function prune({ resource, cache }: ChildKind, object: KubeObject, { signal }: CallOptions): Promise<void> {
    assertMayWrite(`delete ${describeObject(object)}`)
    const { uid } = object.metadata
    try {
      const remaining = await client.delete(resource, object.metadata, { uid, signal })
      if (remaining === undefined) cache.remove(object)
      else take(cache, keep(remaining))
    } catch (error) {
      // Gone already, or another one of this name took its place.
      const code = statusOf(error)?.code
      if (code !== 404 && code !== 409) throw error
    }
  }

  /** Those that the owner controls and that are not desired. */
  function undesired({ cache, resource }: ChildKind, owner: KubeObject, desired: readonly KubeObject[]) {
    const { uid = '' } = owner.metadata
    const wanted = new Set(desired.filter(({ kind }) => kind === resource.kind).map(keyOf))
    return cache
      .ownedBy(uid)
      .filter((object) => controllerOf(object)?.uid === uid && !wanted.has(keyOf(object)))
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  }

  return async (owner, desired, { signal, needs = () => [] } = {}) => {
    const applied: Applied[] = []
    const pruned: KubeObject[] = []
    const skipped: KubeObject[] = []
    const failures: { object: KubeObject; error: unknown }[] = []
    const result: SyncResult = { applied, skipped, pruned, failures }
    const missing = new Set<string>()
    for (const object of desired) {
      if (needs(object).some((needed) => missing.has(needed))) {
        missing.add(describeObject(object))
        skipped.push(object)
        continue
      }
      try {
        applied.push(await apply(object, { signal }))
      } catch (error) {
        missing.add(describeObject(object))
        failures.push({ object, error })
        if (concernsAll(error)) break
      }
    }
    if (failures.length > 0) return result
    for (const kind of kinds)
      for (const object of undesired(kind, owner, desired)) {
        try {
          await prune(kind, object, { signal })
          pruned.push(object)
        } catch (error) {
          failures.push({ object, error })
          if (concernsAll(error)) return result
        }
      }
    return result
  }
}

/** The API server cannot be reached, this process may not write, or the namespace is going: the next would fare the same. */
function concernsAll(error: unknown): boolean {
  if (!(error instanceof AppError)) return false
  return (
    error.code === 'Fenced' ||
    isNamespaceTerminating(error) ||
    (statusOf(error) === undefined && (error.code === 'DeadlineExceeded' || error.cause !== undefined))
  )
}
