import type { OwnerReference } from './runtime/kube-object.ts'

interface Claims {
  readonly namespace?: string
  readonly serviceaccount?: { readonly name: string; readonly uid: string }
}

/**
 * The ServiceAccount of this namespace that a token is of, as an owner of what must go with it; undefined where the token is of
 * none. Nothing is verified: the kubelet put the token where it was read.
 */
export function tokenOwner(token: string, namespace: string): OwnerReference | undefined {
  const { namespace: own, serviceaccount } = claimsOf(token)
  if (own !== namespace || serviceaccount === undefined) return undefined
  return { apiVersion: 'v1', kind: 'ServiceAccount', name: serviceaccount.name, uid: serviceaccount.uid }
}

/** What Kubernetes says in a token of whose it is. */
function claimsOf(token: string): Claims {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, Claims>
    return claims['kubernetes.io'] ?? {}
  } catch {
    return {}
  }
}
