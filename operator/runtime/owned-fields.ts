import { canonicalJson } from '../../lib/canonical-json.ts'
import type { FieldSet, KubeObject } from './kube-object.ts'

export interface ManagedFieldsEntry {
  readonly manager?: string
  readonly operation?: string
  readonly subresource?: string
  /** RFC 3339. */
  readonly time?: string
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
  for (const _ of uncovered(owned, intent)) return false
  return true
}

/** The fields of the intent that are owned no more, as paths into a field set. */
export const uncoveredPaths = (owned: FieldSet, intent: KubeObject): readonly (readonly string[])[] => [
  ...uncovered(owned, intent),
]

type Path = readonly string[]

function* uncovered(owned: FieldSet, intent: KubeObject): Generator<Path> {
  for (const [name, value] of Object.entries(intent)) {
    if (untracked.object.has(name)) continue
    const below = owned[`f:${name}`]
    if (name !== 'metadata') {
      yield* missing(below, value, [`f:${name}`])
      continue
    }
    for (const [field, fieldValue] of Object.entries(intent.metadata))
      if (!untracked.metadata.has(field)) yield* missing(below?.[`f:${field}`], fieldValue, [`f:${name}`, `f:${field}`])
  }
}

function* missing(owned: FieldSet | undefined, value: unknown, path: Path): Generator<Path> {
  if (value === undefined || value === null) return
  if (owned === undefined) {
    yield path
    return
  }
  const steps = Object.keys(owned)
  if (steps.length === 0 || typeof value !== 'object') return
  if (!Array.isArray(value)) {
    for (const [name, child] of Object.entries(value)) yield* missing(owned[`f:${name}`], child, [...path, `f:${name}`])
    return
  }
  const keyed = steps
    .filter((step) => step.startsWith('k:'))
    .map((step) => [JSON.parse(step.slice(2)) as object, step] as const)
  for (const item of value as readonly unknown[]) {
    if (typeof item !== 'object' || item === null) {
      if (owned[`v:${JSON.stringify(item)}`] === undefined) yield path
      continue
    }
    const fields = item as Readonly<Record<string, unknown>>
    const step = keyed.find(([keys]) =>
      Object.entries(keys).every(([key, wanted]) => (fields[key] ?? wanted) === wanted),
    )?.[1]
    if (step === undefined) yield path
    else yield* missing(owned[step], item, [...path, step])
  }
}
