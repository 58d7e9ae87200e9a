import { resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { EventMapping } from '../../lib/pipeline/spec.ts'
import { maxFeatures } from '../detection/feature-schema.ts'

export type FieldReader = (record: Record<string, unknown>) => unknown

/**
 * Reads `name` or, where no field of that whole name exists, the dotted path `a.b`. Spaces around a name count only
 * where a field has them: those of a CSV's header are gone.
 */
export function fieldReader(path: string): FieldReader {
  if (path === '') return () => undefined
  const trimmed = path.trim()
  if (trimmed !== path) {
    const [spaced, bare] = [exactReader(path), exactReader(trimmed)]
    return (record) => spaced(record) ?? bare(record)
  }
  return exactReader(path)
}

function exactReader(path: string): FieldReader {
  if (path in Object.prototype) return (record) => (Object.hasOwn(record, path) ? record[path] : undefined)
  if (!path.includes('.')) return (record) => record[path]
  const steps = path.split('.')
  return (record) => {
    if (path in record) return record[path]
    let at: unknown = record
    for (const step of steps) {
      if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined
      at = (at as Record<string, unknown>)[step]
    }
    return at
  }
}

/** The names of the fields that a pipeline reads, without patterns. */
export function namedFields(mapping: EventMapping): readonly string[] {
  const features = resolveFeatures(mapping)
  const names = [mapping.id, mapping.time, mapping.key, mapping.value]
  if (features.type === 'object') names.push(features.field)
  if (features.type === 'fields') names.push(...features.names.filter((name) => !name.includes('*')))
  names.push(...(mapping.categories ?? []), ...(mapping.secondaryKeys ?? []))
  return names.filter((name) => name !== '' && !name.startsWith('$')).map((name) => name.trim())
}

export interface FeatureOptions {
  /** Fields that are never features, whatever the mapping says: labels. */
  readonly ignore?: readonly string[]
}

/** The object whose fields are the features: a field of the event, the event itself, or nothing. */
export function featureBagReader(mapping: EventMapping): FieldReader {
  const features = resolveFeatures(mapping)
  if (features.type === 'none') return () => undefined
  if (features.type === 'object') return fieldReader(features.field)
  const dotted = features.names.filter((name) => name.includes('.'))
  if (dotted.length === 0) return (record) => record
  const depth = Math.max(...dotted.map((name) => name.split('.').length))
  const roots = new Set(dotted.map((name) => name.split('.', 1)[0]!))
  return (record) => flattened(record, roots, depth)
}

/** The event with the fields of the objects named by `roots` beside its own, dotted. Its own win. */
function flattened(record: Record<string, unknown>, roots: ReadonlySet<string>, depth: number): unknown {
  const flat: Record<string, unknown> = Object.create(null)
  const add = (at: object, prefix: string, left: number) => {
    for (const [name, value] of Object.entries(at)) {
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
        if (left > 1) add(value, `${prefix}${name}.`, left - 1)
      } else flat[`${prefix}${name}`] ??= value
    }
  }
  for (const [name, value] of Object.entries(record)) {
    if (!isNested(value)) flat[name] = value
    else if (!roots.has(name)) flat[name] = value
  }
  for (const root of roots) if (isNested(record[root])) add(record[root] as object, `${root}.`, depth - 1)
  return flat
}

function isNested(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether a field of the object that holds the features, or of a flat event, is one. */
export function featureNames(mapping: EventMapping, options: FeatureOptions): (name: string) => boolean {
  const features = resolveFeatures(mapping)
  const ignored = new Set(options.ignore ?? [])
  return features.type === 'fields'
    ? featureMatcher(
        features.names,
        [
          ...[mapping.id, mapping.time, mapping.key, mapping.value],
          ...(mapping.categories ?? []),
          ...(mapping.secondaryKeys ?? []),
        ],
        ignored,
      )
    : (name) => !ignored.has(name)
}

/** Whether a field of a flat event is a feature: named as it is, or by a pattern with `*` (which leaves out mapped fields). */
function featureMatcher(
  patterns: readonly string[],
  mapped: readonly string[],
  ignored: ReadonlySet<string>,
): (name: string) => boolean {
  const all = new Set([...patterns, ...patterns.map((pattern) => pattern.trim())])
  const named = new Set([...all].filter((pattern) => !pattern.includes('*')))
  const notFeatures = new Set([...mapped, ...mapped.map((name) => name.trim())])
  const globs = [...all]
    .filter((pattern) => pattern.includes('*'))
    .map((pattern) => new RegExp(`^${pattern.split('*').map(escapeRegExp).join('.*')}$`))
  const known = new Map<string, boolean>()
  return (name) => {
    let answer = known.get(name)
    if (answer === undefined) {
      answer =
        !ignored.has(name) && (named.has(name) || (!notFeatures.has(name) && globs.some((glob) => glob.test(name))))
      if (known.size < 10 * maxFeatures) known.set(name, answer)
    }
    return answer
  }
}

function escapeRegExp(literal: string): string {
  return literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
