import { serviceAccounts } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, type Parent } from './child.ts'

/** The identity of the pods, which never talk to the API server. */
export const serviceAccount = (parent: Parent): KubeObject =>
  child(parent, serviceAccounts, '', { automountServiceAccountToken: false })
