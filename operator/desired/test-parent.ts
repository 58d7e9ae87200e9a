import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { roles } from '../../lib/pipeline/spec.ts'
import type { Parent } from './child.ts'
import type { Observed } from './desired.ts'
import { planReplicas, type ReplicasPlan } from './replicas.ts'

/** The pipeline `payments` of the namespace `shop`, for tests. */
export function testParent(spec: object = {}): Parent {
  const { apiVersion, kind } = { apiVersion: 'anomaly.com/v1alpha1', kind: 'AnomalyPipeline' }
  const metadata = { name: 'payments', namespace: 'shop' }
  return {
    pipeline: parsePipeline({ apiVersion, kind, metadata, spec: { source: { brokers: ['kafka:9092'] }, ...spec } }),
    owner: { apiVersion, kind, name: 'payments', uid: 'u-1', controller: true, blockOwnerDeletion: true },
  }
}

/** A world in which the pipeline is new. */
export function testObserved({ pipeline }: Parent, changes: Partial<Observed> = {}): Observed {
  const plan = (role: (typeof roles)[number]): ReplicasPlan =>
    planReplicas({ spec: pipeline.spec, role, live: undefined, autoscalerExists: false })
  return {
    replicas: {
      consumer: plan('consumer'),
      inference: plan('inference'),
      api: plan('api'),
      recorder: plan('recorder'),
    },
    secretHashes: { consumer: 'c-hash', inference: 'i-hash', api: 'a-hash', recorder: 'r-hash' },
    signingKey: 'signing-key',
    redisPassword: 'secret',
    servesMonitors: false,
    ...changes,
  }
}
