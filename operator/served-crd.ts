import { crd, type StructuralSchema } from '../lib/pipeline/crd.ts'
import { definitions } from './kinds.ts'
import type { KubeClient } from './runtime/kube-client.ts'
import type { KubeObject } from './runtime/kube-object.ts'
import { statusOf } from './runtime/kube-status.ts'

type Definition = ReturnType<typeof crd>

/**
 * What keeps this version from working with the CRD that the API server has: undefined if nothing does. Fields that the
 * CRD has besides do no harm; fields that it lacks would be dropped in silence.
 */
export async function crdProblem(client: KubeClient, signal?: AbortSignal): Promise<string | undefined> {
  const own = crd()
  const { name } = own.metadata
  let served: KubeObject
  try {
    served = await client.get(definitions, { name }, { signal })
  } catch (error) {
    if (statusOf(error)?.code === 404)
      return `The CRD ${name} is not installed: \`anomaly crd | kubectl apply --server-side -f -\` installs it`
    throw error
  }
  const missing = missingFields(served, own)
  if (missing.length === 0) return undefined
  const named = missing.slice(0, 5).join(', ')
  const more = missing.length > 5 ? ` and ${missing.length - 5} more` : ''
  return `The CRD ${name} is too old, it lacks ${named}${more}: \`anomaly crd | kubectl apply --server-side -f -\` updates it`
}

/** Paths of the fields that `wanted` declares and the definition as served does not. */
export function missingFields(served: KubeObject, wanted: Definition): readonly string[] {
  const [version] = wanted.spec.versions
  const { versions = [] } = (served.spec ?? {}) as {
    versions?: readonly { name: string; served: boolean; schema?: { openAPIV3Schema?: StructuralSchema } }[]
  }
  const same = versions.find((candidate) => candidate.name === version!.name && candidate.served)
  if (same === undefined) return [`version ${version!.name}`]
  const missing: string[] = []
  const compare = (has: StructuralSchema | undefined, wants: StructuralSchema, path: string): void => {
    if (has === undefined) {
      missing.push(path)
      return
    }
    if (has['x-kubernetes-preserve-unknown-fields'] === true) return
    for (const [name, field] of Object.entries(wants.properties ?? {}))
      compare(has.properties?.[name], field, path === '' ? name : `${path}.${name}`)
    if (wants.items !== undefined) compare(has.items, wants.items, `${path}[]`)
  }
  compare(same.schema?.openAPIV3Schema, version!.schema.openAPIV3Schema, '')
  return missing
}
