import { fixedDetection } from './live-pipeline.ts'
import type { Pipeline, Role } from './spec.ts'

/** What of it inference reads: it knows rows, and neither topics nor events. */
const readByInference = ['detection', 'state'] as const
/** What of it the recorder reads: it knows what is published, and nothing of how that comes about. */
const readByRecorder = ['source', 'results', 'history'] as const

/**
 * The part of a pipeline that workloads read, itself a pipeline document: a change of it rolls their pods, a change of
 * anything else (replicas, autoscaling, resources, the size of the managed Redis, desiredState) does not.
 */
export function workloadPart(pipeline: Pipeline) {
  const { apiVersion, kind, metadata, spec } = pipeline
  const { source, event, detection, results, state, history, api, notifications } = spec
  const { externalUrl } = api
  const { external, managed } = state.redis
  const ofManaged = managed?.replicas === undefined || managed.replicas === 1 ? {} : { replicas: managed.replicas }
  return {
    apiVersion,
    kind,
    metadata: { name: metadata.name, namespace: metadata.namespace },
    spec: {
      source,
      event,
      detection,
      results,
      state: { ...state, redis: external === undefined ? { managed: ofManaged } : { external } },
      ...(history === undefined ? {} : { history }),
      api: {
        auth: api.auth,
        publishEvents: api.publishEvents,
        ...(externalUrl === undefined ? {} : { externalUrl }),
      },
      ...(notifications === undefined ? {} : { notifications }),
    },
  }
}

/**
 * What of that the pods of a role read at their start only: they need not start again for a change of the rest, nor for one
 * of what they take up while they run.
 */
export function readBy(role: Role, pipeline: Pipeline) {
  const part = workloadPart(pipeline)
  const { notifications: _, ...read } = part.spec
  const { externalUrl: __, ...api } = read.api
  const whole = { ...read, detection: fixedDetection(read.detection), api }
  const { api: ___, history: ____, ...judging } = whole
  const only = (fields: readonly (keyof typeof whole)[]) =>
    Object.fromEntries(fields.map((field) => [field, whole[field]]))
  const spec = {
    api: whole,
    consumer: judging,
    inference: only(readByInference),
    recorder: only(readByRecorder),
  }[role]
  return { ...part, spec }
}
