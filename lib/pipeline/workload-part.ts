import type { Pipeline } from './spec.ts'

/**
 * The part of a pipeline that workloads read, itself a pipeline document: a change of it rolls their pods, a change of
 * anything else (replicas, autoscaling, resources, the size of the managed Redis, desiredState) does not.
 */
export function workloadPart({ apiVersion, kind, metadata, spec }: Pipeline) {
  const { source, event, detection, results, state, api } = spec
  const { external } = state.redis
  return {
    apiVersion,
    kind,
    metadata: { name: metadata.name, namespace: metadata.namespace },
    spec: {
      source,
      event,
      detection,
      results,
      state: { ...state, redis: external === undefined ? { managed: {} } : { external } },
      api: { auth: api.auth, publishEvents: api.publishEvents },
    },
  }
}
