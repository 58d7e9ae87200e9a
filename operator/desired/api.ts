import { resolveRoles } from '../../lib/pipeline/resolve-pipeline.ts'
import { services } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, childName, type Parent, ports, selectorLabels } from './child.ts'
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

/** Callers go to one address for all pods of the API; this name stands for each of them. */
const pods = 'api-pods'

/** Whom the console asks how they are, the other pods of the API among them. */
function peersOf(parent: Parent): readonly string[] {
  const { metadata, spec } = parent.pipeline
  return resolveRoles(spec).flatMap((role) => {
    const name = childName(parent, role === 'api' ? pods : role)
    return ['--peer', `${role}=${name}.${metadata.namespace}.svc:${ports.metrics}`]
  })
}

/** Without ports: what scrapes Services would find the pods twice. */
function podsService(parent: Parent): KubeObject {
  const spec = {
    type: 'ClusterIP',
    clusterIP: 'None',
    publishNotReadyAddresses: true,
    selector: selectorLabels(parent, 'api'),
  }
  return child(parent, services, pods, { spec }, { component: 'api' })
}

/** The Deployment that answers the REST API, and its Services. */
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
    podsService(input),
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
