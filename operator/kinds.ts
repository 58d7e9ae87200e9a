import { apiVersion, kind } from '../lib/pipeline/spec.ts'
import type { Resource } from './runtime/kube-object.ts'

/** The kinds that the operator reads and writes. */

const namespaced = (api: string, kindOf: string, plural: string): Resource => ({
  apiVersion: api,
  kind: kindOf,
  plural,
  namespaced: true,
})

export const pipelines = namespaced(apiVersion, kind, 'anomalypipelines')
export const configMaps = namespaced('v1', 'ConfigMap', 'configmaps')
export const secrets = namespaced('v1', 'Secret', 'secrets')
export const serviceAccounts = namespaced('v1', 'ServiceAccount', 'serviceaccounts')
export const services = namespaced('v1', 'Service', 'services')
export const pods = namespaced('v1', 'Pod', 'pods')
export const deployments = namespaced('apps/v1', 'Deployment', 'deployments')
export const statefulSets = namespaced('apps/v1', 'StatefulSet', 'statefulsets')
export const cronJobs = namespaced('batch/v1', 'CronJob', 'cronjobs')
export const jobs = namespaced('batch/v1', 'Job', 'jobs')
export const autoscalers = namespaced('autoscaling/v2', 'HorizontalPodAutoscaler', 'horizontalpodautoscalers')
export const disruptionBudgets = namespaced('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets')
export const networkPolicies = namespaced('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies')
/** Of the Prometheus operator, which a cluster may lack. */
export const serviceMonitors = namespaced('monitoring.coreos.com/v1', 'ServiceMonitor', 'servicemonitors')
/** The volumes of Redis, which its StatefulSet makes. */
export const claims = namespaced('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims')
export const definitions: Resource = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
}

/** What a pipeline is made of, in every cluster. */
export const childKinds = [
  configMaps,
  secrets,
  serviceAccounts,
  services,
  statefulSets,
  cronJobs,
  jobs,
  deployments,
  autoscalers,
  disruptionBudgets,
  networkPolicies,
] as const
