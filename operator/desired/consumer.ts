import type { KubeObject } from '../runtime/kube-object.ts'
import { ports } from './child.ts'
import { service } from './service.ts'
import {
  inferenceAddress,
  kafkaAccess,
  schemaRegistryAccess,
  signingAccess,
  type WorkloadInput,
  workload,
} from './workload.ts'

/** The Deployment that reads events from Kafka, and a Service for its metrics. */
export function consumer(input: WorkloadInput): readonly KubeObject[] {
  const kafka = kafkaAccess(input)
  const registry = schemaRegistryAccess(input, 'consumer')
  const signing = signingAccess(input)
  return [
    service(input, 'consumer', [{ name: 'metrics', port: ports.metrics }], { headless: true, unready: true }),
    workload(input, {
      role: 'consumer',
      flags: ['--inference', inferenceAddress(input), ...kafka.flags, ...registry.flags, ...signing.flags],
      mounts: [...kafka.mounts, ...registry.mounts, ...signing.mounts],
      requests: { cpu: '500m', memory: '512Mi' },
      memoryLimit: '1Gi',
      served: false,
    }),
  ]
}
