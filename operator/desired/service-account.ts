import { serviceAccounts } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, type Parent } from './child.ts'

/** The identity of the pods, which never talk to the API server; nodes pull their images with these Secrets. */
export function serviceAccount(parent: Parent, imagePullSecrets: readonly string[] = []): KubeObject {
  const pulling = imagePullSecrets.length === 0 ? {} : { imagePullSecrets: imagePullSecrets.map((name) => ({ name })) }
  return child(parent, serviceAccounts, '', { automountServiceAccountToken: false, ...pulling })
}
