import { manager } from './desired/child.ts'

/** A PolicyRule of RBAC. */
interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
  readonly resourceNames?: readonly string[]
}

const read = ['get', 'list', 'watch'] as const
/** Server-side apply needs patch, and create for what does not exist yet. */
const keep = [...read, 'create', 'patch', 'delete'] as const

/** What the operator may do with pipelines and their children, in each namespace that it watches. */
export const pipelineRules: readonly Rule[] = [
  { apiGroups: ['anomaly.com'], resources: ['anomalypipelines'], verbs: read },
  { apiGroups: ['anomaly.com'], resources: ['anomalypipelines/status'], verbs: ['patch'] },
  // Where OwnerReferencesPermissionEnforcement is on, as in OpenShift, owner references that block deletion need it.
  { apiGroups: ['anomaly.com'], resources: ['anomalypipelines/finalizers'], verbs: ['update'] },
  { apiGroups: [''], resources: ['configmaps', 'secrets', 'serviceaccounts', 'services'], verbs: keep },
  { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
  { apiGroups: ['apps'], resources: ['deployments', 'statefulsets'], verbs: keep },
  { apiGroups: ['autoscaling'], resources: ['horizontalpodautoscalers'], verbs: keep },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: keep },
  { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: keep },
  { apiGroups: ['monitoring.coreos.com'], resources: ['servicemonitors'], verbs: keep },
]

/** What it needs of the cluster whatever it watches. */
export const clusterRules: readonly Rule[] = [
  {
    apiGroups: ['apiextensions.k8s.io'],
    resources: ['customresourcedefinitions'],
    verbs: ['get'],
    resourceNames: ['anomalypipelines.anomaly.com'],
  },
]

/** What it needs in the namespace of its Lease. */
export const leaseRules: readonly Rule[] = [
  // A name cannot be asked for when a thing is made.
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'update'], resourceNames: [manager] },
]

const api = 'rbac.authorization.k8s.io'

/**
 * Roles and bindings for an operator that runs as this ServiceAccount: for pipelines of the whole cluster, or of a list of
 * namespaces with a Role in each.
 */
export function rbac(
  { name, namespace }: { readonly name: string; readonly namespace: string },
  namespaces?: readonly string[] | undefined,
) {
  const subjects = [{ kind: 'ServiceAccount', name, namespace }]
  const role = (where: string | undefined, what: string, rules: readonly Rule[]) => {
    const prefix = where === undefined ? 'Cluster' : ''
    const metadata = { name: `${manager}-${what}`, ...(where === undefined ? {} : { namespace: where }) }
    const roleRef = { apiGroup: api, kind: `${prefix}Role`, name: metadata.name }
    return [
      { apiVersion: `${api}/v1`, kind: `${prefix}Role`, metadata, rules },
      { apiVersion: `${api}/v1`, kind: `${prefix}RoleBinding`, metadata, roleRef, subjects },
    ]
  }
  return [
    ...role(undefined, 'crd', clusterRules),
    ...role(namespace, 'lease', leaseRules),
    ...(namespaces ?? [undefined]).flatMap((where) => role(where, 'pipelines', pipelineRules)),
  ]
}
