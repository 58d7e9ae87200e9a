import { resolveRoles } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Role } from '../../lib/pipeline/spec.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { childName, type Parent, ports } from './child.ts'
import { service } from './service.ts'
import {
  historyAccess,
  inferenceAddress,
  kafkaAccess,
  schemaRegistryAccess,
  signingAccess,
  tokensMount,
  type WorkloadInput,
  workload,
} from './workload.ts'

/** Whom the console asks how they are. */
export const peerRoles = ({ pipeline }: Parent): readonly Role[] =>
  resolveRoles(pipeline.spec).filter((role) => role !== 'api')

function peersOf(parent: Parent): readonly string[] {
  const { namespace } = parent.pipeline.metadata
  return peerRoles(parent).flatMap((role) => [
    '--peer',
    `${role}=${childName(parent, role)}.${namespace}.svc:${ports.metrics}`,
  ])
}

/** The Deployment that answers the REST API, and its Service. */
export function api(input: WorkloadInput): readonly KubeObject[] {
  const { secretRef } = input.pipeline.spec.api.auth
  const kafka = kafkaAccess(input)
  const signing = signingAccess(input)
  const history = historyAccess(input)
  const registry = schemaRegistryAccess(input, 'api')
  const tokens = secretRef === undefined ? undefined : tokensMount(secretRef.name)
  const http = { name: 'http', port: ports.api, appProtocol: 'http' }
  return [
    service(input, 'api', [http, { name: 'metrics', port: ports.metrics }], { headless: false }),
    workload(input, {
      role: 'api',
      flags: [
        '--port',
        String(ports.api),
        '--inference',
        inferenceAddress(input),
        ...peersOf(input),
        ...kafka.flags,
        ...signing.flags,
        ...history.flags,
        ...registry.flags,
        ...(tokens === undefined ? [] : ['--token-dir', tokens.path]),
      ],
      env: history.env,
      mounts: [
        ...kafka.mounts,
        ...signing.mounts,
        ...history.mounts,
        ...registry.mounts,
        ...(tokens === undefined ? [] : [tokens]),
      ],
      containerPorts: [{ name: 'http', containerPort: ports.api }],
      requests: { cpu: '100m', memory: '256Mi' },
      memoryLimit: '768Mi',
      served: true,
    }),
  ]
}
