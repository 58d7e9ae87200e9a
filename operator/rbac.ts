import { manager } from './desired/child.ts'

/** A PolicyRule of RBAC. */
export interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
  readonly resourceNames?: readonly string[]
}

const read = ['get', 'list', 'watch'] as const
/** Server-side apply needs patch, and create for what does not exist yet. */
const keep = [...read, 'create', 'patch', 'delete'] as const

/** What the operator may do with pipelines and their children, in each namespace that it watches. */
const pipelines: readonly Rule[] = [
  { apiGroups: ['anomaly.com'], resources: ['anomalypipelines'], verbs: read },
  { apiGroups: ['anomaly.com'], resources: ['anomalypipelines/status'], verbs: ['patch'] },
  // Where OwnerReferencesPermissionEnforcement is on, as in OpenShift, owner references that block deletion need it.
  { apiGroups: ['anomaly.com'], resources: ['anomalypipelines/finalizers'], verbs: ['update'] },
  { apiGroups: [''], resources: ['configmaps', 'secrets', 'serviceaccounts', 'services'], verbs: keep },
  // An annotation tells the kubelet to look for the changed file of a pipeline at once.
  { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch', 'patch'] },
  // The volume of Redis grows.
  { apiGroups: [''], resources: ['persistentvolumeclaims'], verbs: ['list', 'watch', 'patch'] },
  { apiGroups: [''], resources: ['events'], verbs: ['list', 'create', 'patch'] },
  { apiGroups: ['apps'], resources: ['deployments', 'statefulsets'], verbs: keep },
  { apiGroups: ['batch'], resources: ['cronjobs', 'jobs'], verbs: keep },
  { apiGroups: ['autoscaling'], resources: ['horizontalpodautoscalers'], verbs: keep },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: keep },
  { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: keep },
  { apiGroups: ['monitoring.coreos.com'], resources: ['servicemonitors'], verbs: keep },
]

/** What it needs of the cluster whatever it watches. */
const crd: readonly Rule[] = [
  {
    apiGroups: ['apiextensions.k8s.io'],
    resources: ['customresourcedefinitions'],
    verbs: ['get'],
    resourceNames: ['anomalypipelines.anomaly.com'],
  },
  // The Prometheus operator may come and go.
  {
    apiGroups: ['apiextensions.k8s.io'],
    resources: ['customresourcedefinitions'],
    verbs: ['list', 'watch'],
    resourceNames: ['servicemonitors.monitoring.coreos.com'],
  },
]

/** What it needs in the namespace of its Lease. */
const lease: readonly Rule[] = [
  // A name cannot be asked for when a thing is made.
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
  // Where OwnerReferencesPermissionEnforcement is on, who names an owner must be allowed to delete.
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    verbs: ['get', 'update', 'delete'],
    resourceNames: [manager],
  },
]

/** What the standard roles view and edit of Kubernetes come to allow with pipelines. */
const view: readonly Rule[] = [{ apiGroups: ['anomaly.com'], resources: ['anomalypipelines'], verbs: read }]
const edit: readonly Rule[] = [
  {
    apiGroups: ['anomaly.com'],
    resources: ['anomalypipelines'],
    verbs: [...keep, 'update', 'deletecollection'],
  },
]

/** The rules of each role; the chart makes the roles of them. */
export const rules = { pipelines, crd, lease, view, edit } as const
