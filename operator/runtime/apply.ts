import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { canonicalJson } from '../../lib/canonical-json.ts'
import { AppError } from '../../lib/errors.ts'
import type { Cache } from './cache.ts'
import { driftOf } from './drift.ts'
import type { CallOptions, KubeClient } from './kube-client.ts'
import {
  controllerOf,
  describeObject,
  type FieldSet,
  type KubeObject,
  keyOf,
  type OwnerReference,
  type Resource,
} from './kube-object.ts'
import { errorOfStatus, isOtherUid, statusOf } from './kube-status.ts'
import { coversIntent, keepOwnedFields } from './owned-fields.ts'
import { type Applied, type ChildKind, createSync, type Sync } from './sync.ts'

export interface ApplierOptions {
  readonly client: KubeClient
  /** In whose name fields are set. */
  readonly fieldManager: string
  /** Annotation on each child that holds a hash of what was intended, for example `example.com/intent`. */
  readonly hashAnnotation: string
  /** Every kind that may be applied or pruned. */
  readonly kinds: readonly ChildKind[]
  /** Asked before each write, for example whether this process still leads; by default yes. */
  readonly mayWrite?: () => boolean
}

export interface Applier {
  /**
   * Server-side apply, sent only when it would change something: when the intent differs from the one that was applied
   * last (its hash is on the object), or somebody else changed or removed a field of it (then it is healed). Fields
   * that the intent does not speak of stay as they are. Refuses, with Conflict, an object of that name that the
   * intent's controller does not own.
   */
  apply(intent: KubeObject, options?: CallOptions): Promise<Applied>
  readonly sync: Sync
  /** Sets the whole status of an object by server-side apply, unless it is equal already. */
  applyStatus(resource: Resource, object: KubeObject, status: unknown, options?: CallOptions): Promise<boolean>
  /** Whether this version of an object is what a write of this applier came to: nobody else's change. */
  wrote(object: KubeObject): boolean
}

/** An applier of raw JSON. It remembers nothing that is not on the objects: after a restart it writes nothing either. */
export function createApplier(options: ApplierOptions): Applier {
  const { client, fieldManager, hashAnnotation, kinds, mayWrite = () => true } = options
  const keep = keepOwnedFields(fieldManager)
  const byKind = new Map(kinds.map((kind) => [`${kind.resource.apiVersion}/${kind.resource.kind}`, kind]))
  /**
   * Objects that the API server returned with less than the intent right after it was applied, because a webhook changed them
   * or a field is unknown. As long as it stays like that, applying once more would change nothing.
   */
  const settled = new Map<string, { readonly hash: string; readonly owned: FieldSet | undefined }>()
  const written = new WeakSet<KubeObject>()

  function kindOf(object: KubeObject): ChildKind {
    const kind = byKind.get(`${object.apiVersion}/${object.kind}`)
    if (kind === undefined)
      throw new RangeError(`${object.apiVersion} ${object.kind} is not among the kinds of this applier`)
    return kind
  }

  function assertMayWrite(what: string): void {
    if (!mayWrite()) throw new AppError('Fenced', `Cannot ${what}: another process leads now`)
  }

  function take(cache: Cache | undefined, object: KubeObject): void {
    written.add(object)
    cache?.put(object)
  }

  async function apply(intent: KubeObject, { signal }: CallOptions = {}): Promise<Applied> {
    const { resource, cache } = kindOf(intent)
    const what = describeObject(intent)
    const id = `${resource.apiVersion}/${resource.plural}/${keyOf(intent)}`
    const hash = createHash('sha256').update(canonicalJson(intent)).digest('hex').slice(0, 16)
    const annotations = { ...intent.metadata.annotations, [hashAnnotation]: hash }
    const stamped: KubeObject = { ...intent, metadata: { ...intent.metadata, annotations } }

    // Objects outside the cache's selection may exist all the same, and must not be taken over.
    const live = cache.get(keyOf(intent)) ?? (await find(resource, intent, signal))
    const sameIntent = live?.metadata.annotations?.[hashAnnotation] === hash
    if (live !== undefined) {
      assertOwned(what, controllerOf(live), controllerOf(intent))
      if (live.metadata.deletionTimestamp !== undefined) {
        throw new AppError('Unavailable', `Cannot apply ${what}: it is still being deleted`)
      }
      const owned = live.metadata.ownedFields
      const before = settled.get(id)
      const isSettled = before !== undefined && before.hash === hash && isDeepStrictEqual(before.owned, owned)
      if (sameIntent && (isSettled || coversIntent(owned, stamped))) return { object: live, outcome: 'unchanged' }
    }

    assertMayWrite(`apply ${what}`)
    const isHealed = live !== undefined && sameIntent
    const drift = isHealed ? await findDrift(resource, stamped, signal) : undefined
    const object = await send(resource, stamped, live?.metadata.uid, signal)
    take(cache, object)
    const owned = object.metadata.ownedFields
    if (coversIntent(owned, stamped)) settled.delete(id)
    else settled.set(id, { hash, owned })
    return { object, outcome: live === undefined ? 'created' : isHealed ? 'healed' : 'updated', drift }
  }

  /** Only to the object with this uid, if any: one that took its place meanwhile is not taken over. */
  async function send(
    resource: Resource,
    object: KubeObject,
    uid: string | undefined,
    signal: AbortSignal | undefined,
  ) {
    const target = { ...object, metadata: { ...object.metadata, ...(uid === undefined ? {} : { uid }) } }
    try {
      return keep(await client.apply(resource, target, { fieldManager, force: true, signal }))
    } catch (error) {
      if (!isOtherUid(error)) throw error
      const message = 'another one of this name took its place'
      throw errorOfStatus(`apply ${describeObject(object)}`, { code: 409, reason: 'Conflict', message }, 409)
    }
  }

  /** Who came between, by the managedFields that caches drop. It is not worth a failure. */
  async function findDrift(resource: Resource, intent: KubeObject, signal: AbortSignal | undefined) {
    const live = await client.get(resource, intent.metadata, { signal }).catch(() => undefined)
    return live === undefined ? undefined : driftOf(live, intent, fieldManager)
  }

  async function find(
    resource: Resource,
    object: KubeObject,
    signal: AbortSignal | undefined,
  ): Promise<KubeObject | undefined> {
    try {
      return keep(await client.get(resource, object.metadata, { signal }))
    } catch (error) {
      if (statusOf(error)?.code === 404) return undefined
      throw error
    }
  }

  const sync = createSync({ client, kinds, keep, apply, assertMayWrite, take })
  return {
    apply,
    sync,
    async applyStatus(resource, object, status, { signal } = {}) {
      if (canonicalJson(object.status ?? null) === canonicalJson(status)) return false
      assertMayWrite(`apply the status of ${describeObject(object)}`)
      const { apiVersion, kind, metadata } = object
      const { name, namespace, uid } = metadata
      const target = { name, ...(namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }) }
      const body: KubeObject = { apiVersion, kind, metadata: target, status }
      const answer = await client.apply(resource, body, { fieldManager, force: true, subresource: 'status', signal })
      take(byKind.get(`${apiVersion}/${kind}`)?.cache, keep(answer))
      return true
    },
    wrote: (object) => written.has(object),
  }
}

/** An object is ours by the uid of its controller, and by nothing else: whatever else is on it, anybody can write. */
function assertOwned(what: string, owner: OwnerReference | undefined, wanted: OwnerReference | undefined): void {
  if (owner !== undefined && owner.uid === wanted?.uid) return
  if (owner !== undefined && owner.kind === wanted?.kind && owner.name === wanted.name)
    throw new AppError(
      'Unavailable',
      `Cannot apply ${what}: the one of the former ${owner.kind} ${owner.name} is still being deleted`,
    )
  const whose = owner === undefined ? 'nobody' : `${owner.kind} ${owner.name}`
  throw new AppError('Conflict', `Cannot apply ${what}: it exists already and belongs to ${whose}; rename or delete it`)
}
