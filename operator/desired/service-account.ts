import { serviceAccounts } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { type Component, child, type Parent } from './child.ts'

/**
 * The identity of the pods, which never talk to the API server; nodes pull their images with these Secrets. A component
 * whose template has annotations for it has one of its own.
 */
export function serviceAccount(
  parent: Parent,
  imagePullSecrets: readonly string[] = [],
  own?: { readonly component: Component; readonly annotations: Readonly<Record<string, string>> },
): KubeObject {
  const pulling = imagePullSecrets.length === 0 ? {} : { imagePullSecrets: imagePullSecrets.map((name) => ({ name })) }
  return child(parent, serviceAccounts, own?.component ?? '', { automountServiceAccountToken: false, ...pulling }, own)
}
