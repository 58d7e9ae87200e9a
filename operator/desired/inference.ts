import { onnxFolder, resolveDetectors } from '../../lib/pipeline/resolve-pipeline.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { type Parent, ports } from './child.ts'
import type { Mount } from './pod.ts'
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
      requests: { cpu: '200m', memory: '512Mi' },
      memoryLimit: '1Gi',
      mounts: onnxMounts(input),
      served: true,
    }),
  ]
}

/** The models of one's own, a folder a detector. */
function onnxMounts({ pipeline }: Parent): readonly Mount[] {
  return resolveDetectors(pipeline.spec.detection).flatMap((detector): readonly Mount[] => {
    if (detector.type !== 'onnx') return []
    const { configMap, persistentVolumeClaim: claim } = detector.from
    const mount = { name: `onnx-${detector.name}`, path: `${onnxFolder}/${detector.name}` }
    if (configMap !== undefined) {
      const { name, key } = configMap
      return [{ ...mount, source: { configMap: { name, items: [{ key, path: key }] } } }]
    }
    if (claim === undefined) return []
    return [{ ...mount, source: { persistentVolumeClaim: { claimName: claim.claimName, readOnly: true } } }]
  })
}
