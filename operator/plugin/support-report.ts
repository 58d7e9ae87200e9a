import type { KubeObject } from '../runtime/kube-object.ts'

/** Without what only a computer reads, and without anything that may be secret. */
export function withoutSecrets(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata as KubeObject['metadata'] & {
    readonly managedFields?: unknown
  }
  const annotations = Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(
      ([name]) => name !== 'kubectl.kubernetes.io/last-applied-configuration',
    ),
  )
  const kept = { ...object, metadata: { ...metadata, annotations } }
  if (object.kind === 'Secret') {
    const entries = Object.keys((object.data as object | undefined) ?? {})
    return { apiVersion: kept.apiVersion, kind: kept.kind, metadata: kept.metadata, type: object.type, entries }
  }
  return hideValues(kept) as KubeObject
}

/** Hides the values of environment variables, wherever there are some: people put passwords there. */
function hideValues(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(hideValues)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, name === 'env' ? hiddenEnv(field) : hideValues(field)]),
  )
}

function hiddenEnv(env: unknown): unknown {
  if (!Array.isArray(env)) return env
  return env.map((variable: Readonly<Record<string, unknown>>) =>
    'value' in variable ? { ...variable, value: '(hidden)' } : variable,
  )
}
