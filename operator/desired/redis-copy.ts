import { resolveRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { jobs } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, childName, hashOf, type Parent } from './child.ts'
import { type EnvironmentVariable, placementOf, podTemplate } from './pod.ts'
import { tlsAccess } from './workload.ts'

export interface CopyInput extends Parent {
  /** The pipeline with the Redis that it is to have. */
  readonly wanted: Pipeline
  readonly image: string
  readonly logLevel: string
  /** Hash of what the copy reads of Secrets. */
  readonly secretsHash: string
  readonly restartAt?: string | undefined
  readonly imagePullSecrets?: readonly string[] | undefined
}

/** User `node` of the image. */
const user = 1000

/**
 * Copies what was learnt to another Redis. A Job never changes: its name is made of what it does, so that another
 * document or Secret, or `restart-at`, makes another one.
 */
export function redisCopy(input: CopyInput): KubeObject {
  const { pipeline, wanted, image, logLevel, secretsHash, restartAt, imagePullSecrets } = input
  const [from, to] = [end(input, 'from', pipeline), end(input, 'to', wanted)]
  const { metadata, spec } = podTemplate(input, 'redis-copy', {
    image,
    args: ['state', 'copy', ...from.flags, ...to.flags, '--log-level', logLevel],
    env: [
      from.url,
      to.url,
      // Another pod of the same Job goes on with the same copy.
      {
        name: 'ANOMALY_ID',
        valueFrom: { fieldRef: { fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']" } },
      },
    ],
    mounts: [...from.mounts, ...to.mounts],
    container: { resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '512Mi' } } },
    user,
    secrets: secretsHash,
    restartAt,
    template: placementOf(wanted.spec.consumer.template),
    terminationGracePeriodSeconds: 5,
    imagePullSecrets,
  })
  const jobSpec = {
    backoffLimit: 2,
    // Nothing is judged meanwhile: then it goes on with the former one.
    activeDeadlineSeconds: 3600,
    // No two of its pods write at once.
    podReplacementPolicy: 'Failed',
    template: { metadata, spec: { ...spec, restartPolicy: 'Never' } },
  }
  const suffix = `redis-copy-${hashOf(jobSpec).slice(0, 8)}`
  return child(input, jobs, suffix, { spec: jobSpec }, { component: 'redis-copy' })
}

/** How the copy reaches one of the two. */
function end(parent: Parent, side: 'from' | 'to', pipeline: Pipeline) {
  const redis = resolveRedis(pipeline)
  const secretKeyRef = redis.type === 'managed' ? { name: childName(parent, 'redis'), key: 'url' } : redis.urlSecretRef
  const { name, key } = secretKeyRef
  const url: EnvironmentVariable = {
    name: `ANOMALY_${side.toUpperCase()}`,
    valueFrom: { secretKeyRef: { name, key } },
  }
  if (redis.type === 'managed') return { url, flags: [], mounts: [] }
  const { flags, mounts } = tlsAccess(side, redis.tls)
  return { url, flags: [`--${side}-prefix`, redis.keyPrefix, ...flags], mounts }
}
