import type { KubeObject } from '../runtime/kube-object.ts'
import { ports } from './child.ts'
import { service } from './service.ts'
import { type WorkloadInput, workload } from './workload.ts'

/** The Deployment that scores rows over gRPC. Its Service is headless: gRPC clients spread calls over the addresses. */
export function inference(input: WorkloadInput): readonly KubeObject[] {
  const grpc = { name: 'grpc', port: ports.grpc, appProtocol: 'kubernetes.io/h2c' }
  return [
    service(input, 'inference', [grpc, { name: 'metrics', port: ports.metrics }], { headless: true }),
    workload(input, {
      role: 'inference',
      flags: ['--port', String(ports.grpc)],
      containerPorts: [{ name: 'grpc', containerPort: ports.grpc }],
      requests: { cpu: '500m', memory: '512Mi' },
      memoryLimit: '1Gi',
      served: true,
    }),
  ]
}
