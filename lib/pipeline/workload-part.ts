import type { Pipeline, Role } from './spec.ts'

/** What of it inference reads: it knows rows, and neither topics nor events. */
const readByInference = ['detection', 'state'] as const

/**
 * The part of a pipeline that workloads read, itself a pipeline document: a change of it rolls their pods, a change of
 * anything else (replicas, autoscaling, resources, the size of the managed Redis, desiredState) does not.
 */
export function workloadPart(pipeline: Pipeline) {
  const { apiVersion, kind, metadata, spec } = pipeline
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

/** What of that the pods of a role depend on: they need not start again for a change of the rest. */
export function readBy(role: Role, pipeline: Pipeline) {
  const part = workloadPart(pipeline)
  const { api: _, ...judging } = part.spec
  const ofInference = Object.fromEntries(readByInference.map((field) => [field, part.spec[field]]))
  const spec = role === 'api' ? part.spec : role === 'consumer' ? judging : ofInference
  return { ...part, spec }
}
