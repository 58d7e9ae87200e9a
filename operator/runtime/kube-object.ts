/** Which kind of object, and where the API server serves it. */
export interface Resource {
  /** `v1`, `apps/v1`, … */
  readonly apiVersion: string
  readonly kind: string
  /** Lower-case plural, as in its path: `deployments`. */
  readonly plural: string
  /** False for the kinds that live outside namespaces. */
  readonly namespaced: boolean
}

export interface ObjectKey {
  readonly namespace?: string | undefined
  readonly name: string
}

export interface OwnerReference {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

export interface ObjectMeta {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly ownerReferences?: readonly OwnerReference[]
  readonly finalizers?: readonly string[]
  /** Of managedFields, what `keepOwnedFields` left: the fields that one manager applied and still owns. Never sent. */
  readonly ownedFields?: FieldSet
}

/**
 * Which fields a manager owns, as the API server writes it (fieldsV1): `f:name` a field, `k:{…}` the item of a list with
 * these keys, `v:…` the item of a set, `.` the thing itself; an empty set owns the whole value.
 */
export interface FieldSet {
  readonly [path: string]: FieldSet
}

/** An object as JSON, every field kept, known to this version or not. Never changed in place. */
export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
  readonly [field: string]: unknown
}

/** `namespace/name`, or the name alone outside namespaces: identifies an object among those of its kind. */
export function keyOf({ metadata: { namespace, name } }: Pick<KubeObject, 'metadata'>): string {
  return namespace === undefined ? name : `${namespace}/${name}`
}

/** The inverse of `keyOf`. */
export function splitKey(key: string): { readonly namespace?: string; readonly name: string } {
  const slash = key.indexOf('/')
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** `Deployment default/payments`, for messages. */
export function describeObject(object: Pick<KubeObject, 'kind' | 'metadata'>): string {
  return `${object.kind} ${keyOf(object)}`
}

/** The owner that manages the object, if any. An object has at most one. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((reference) => reference.controller === true)
}

/** The reference that makes `owner` the manager of what carries it; deleting the owner then deletes that too. */
export function ownedBy(owner: KubeObject): OwnerReference {
  const { apiVersion, kind, metadata } = owner
  if (metadata.uid === undefined)
    throw new TypeError(`${describeObject(owner)} has no uid: it was not read from the API server`)
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid, controller: true, blockOwnerDeletion: true }
}

/**
 * Whether `a` is an older version of the same kind of object than `b`. The API server counts versions of a kind up,
 * which it guarantees from 1.35 on and has always done; versions that are not numbers are never older.
 */
export function isOlder(a: string | undefined, b: string | undefined): boolean {
  return Number(a) < Number(b)
}
