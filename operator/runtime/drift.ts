import type { FieldSet, KubeObject } from './kube-object.ts'
import { type ManagedFieldsEntry, uncoveredPaths } from './owned-fields.ts'

/** Which fields of an object somebody else set or removed, and who. */
export interface Drift {
  /** As people write them: `spec.selector.app`. */
  readonly fields: readonly string[]
  /** Field managers, such as `kubectl-edit`; empty where the API server does not know. */
  readonly managers: readonly string[]
}

/**
 * What came between an object, as the API server has it with its managedFields, and what was intended. Of a field that
 * was removed nobody is the manager any more: then it is the one who wrote last.
 */
export function driftOf(live: KubeObject, intent: KubeObject, ownManager: string): Drift {
  const { managedFields = [] } = live.metadata as KubeObject['metadata'] & {
    managedFields?: readonly ManagedFieldsEntry[]
  }
  const isOwn = ({ manager, operation }: ManagedFieldsEntry) => manager === ownManager && operation === 'Apply'
  const own = managedFields.find((entry) => isOwn(entry) && !entry.subresource)?.fieldsV1
  const others = managedFields.filter((entry) => !isOwn(entry) && !entry.subresource)
  const paths = uncoveredPaths(own ?? {}, intent)
  const owners = others.filter(({ fieldsV1 }) => paths.some((path) => contains(fieldsV1, path)))
  const [latest] = others.toSorted((a, b) => (b.time ?? '').localeCompare(a.time ?? ''))
  const named = owners.length > 0 ? owners : latest === undefined ? [] : [latest]
  return {
    fields: [...new Set(paths.map(fieldOf))],
    managers: [...new Set(named.flatMap(({ manager }) => manager ?? []))],
  }
}

function contains(fields: FieldSet | undefined, path: readonly string[]): boolean {
  let here = fields
  for (const step of path) here = here?.[step]
  return here !== undefined
}

/** `f:spec`, `f:ports`, `k:{"port":80}` as `spec.ports[port=80]`. */
function fieldOf(path: readonly string[]): string {
  return path
    .map((step) => {
      if (step.startsWith('f:')) return `.${step.slice(2)}`
      if (!step.startsWith('k:')) return ''
      const keys = Object.entries(JSON.parse(step.slice(2)) as Record<string, unknown>)
      return `[${keys.map(([name, value]) => `${name}=${String(value)}`).join(',')}]`
    })
    .join('')
    .replace(/^\./, '')
}
