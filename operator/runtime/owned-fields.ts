import { canonicalJson } from '../../lib/canonical-json.ts'
import type { FieldSet, KubeObject } from './kube-object.ts'

interface ManagedFieldsEntry {
  readonly manager?: string
  readonly operation?: string
  readonly subresource?: string
  readonly fieldsV1?: FieldSet
}

/**
 * Makes the function that drops managedFields from an object but remembers what `manager` applied and still owns, in
 * `metadata.ownedFields`. Equal sets are one value: a thousand children of a kind have the same fields, so it costs
 * next to nothing.
 */
export function keepOwnedFields(manager: string): (object: KubeObject) => KubeObject {
  const known = new Map<string, FieldSet>()
  return (object) => {
    const { managedFields, ...metadata } = object.metadata as KubeObject['metadata'] & {
      managedFields?: readonly ManagedFieldsEntry[]
    }
    const entry = managedFields?.find(
      (candidate) => candidate.manager === manager && candidate.operation === 'Apply' && !candidate.subresource,
    )
    if (entry?.fieldsV1 === undefined) return { ...object, metadata }
    const fields = withoutOwner(entry.fieldsV1)
    const text = canonicalJson(fields)
    let ownedFields = known.get(text)
    if (ownedFields === undefined) {
      if (known.size >= 10_000) known.clear()
      known.set(text, fields)
      ownedFields = fields
    }
    return { ...object, metadata: { ...metadata, ownedFields } }
  }
}

/**
 * The same without the uid of the one owner: else no two sets of the children of two owners would be equal. Whose the
 * reference is stands in the object itself.
 */
function withoutOwner(fields: FieldSet): FieldSet {
  const metadata = fields['f:metadata']
  const owners = metadata?.['f:ownerReferences']
  if (owners === undefined) return fields
  const [path, ...others] = Object.keys(owners).filter((key) => key.startsWith('k:'))
  if (path === undefined || others.length > 0) return fields
  const { [path]: owner = {}, ...rest } = owners
  return { ...fields, 'f:metadata': { ...metadata, 'f:ownerReferences': { ...rest, 'k:{}': owner } } }
}

const untracked = {
  object: new Set(['apiVersion', 'kind', 'status']),
  metadata: new Set(['name', 'namespace', 'uid', 'resourceVersion']),
}

/**
 * Whether the fields that are owned still cover each field of the intent that was applied. A field whose value somebody
 * else changed or removed is no longer owned by who applied it, so this finds every drift, without knowing defaults,
 * how the API server writes a quantity, or by which keys it merges a list: the set itself says so.
 */
export function coversIntent(owned: FieldSet | undefined, intent: KubeObject): boolean {
  if (owned === undefined) return false
  for (const [name, value] of Object.entries(intent)) {
    if (untracked.object.has(name)) continue
    const below = owned[`f:${name}`]
    if (name !== 'metadata') {
      if (!covers(below, value)) return false
      continue
    }
    for (const [field, fieldValue] of Object.entries(intent.metadata)) {
      if (!untracked.metadata.has(field) && !covers(below?.[`f:${field}`], fieldValue)) return false
    }
  }
  return true
}

function covers(owned: FieldSet | undefined, value: unknown): boolean {
  if (value === undefined || value === null) return true
  if (owned === undefined) return false
  const paths = Object.keys(owned)
  if (paths.length === 0 || typeof value !== 'object') return true
  if (!Array.isArray(value)) return Object.entries(value).every(([name, child]) => covers(owned[`f:${name}`], child))
  const keyed = paths
    .filter((path) => path.startsWith('k:'))
    .map((path) => [JSON.parse(path.slice(2)) as object, path] as const)
  return value.every((item) => {
    if (typeof item !== 'object' || item === null) return owned[`v:${JSON.stringify(item)}`] !== undefined
    const path = keyed.find(([keys]) =>
      Object.entries(keys).every(([key, wanted]) => (item[key] ?? wanted) === wanted),
    )?.[1]
    return path !== undefined && covers(owned[path], item)
  })
}
