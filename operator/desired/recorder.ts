import type { KubeObject } from '../runtime/kube-object.ts'
import { ports } from './child.ts'
import { service } from './service.ts'
import { historyAccess, kafkaAccess, notificationAccess, type WorkloadInput, workload } from './workload.ts'

/** The Deployment that writes the history and tells of episodes, and a Service for its metrics. */
export function recorder(input: WorkloadInput): readonly KubeObject[] {
  const kafka = kafkaAccess(input)
  const history = historyAccess(input)
  const notifications = notificationAccess(input)
  return [
    service(input, 'recorder', [{ name: 'metrics', port: ports.metrics }], { headless: true, unready: true }),
    workload(input, {
      role: 'recorder',
      flags: [...kafka.flags, ...history.flags, ...notifications.flags],
      env: history.env,
      mounts: [...kafka.mounts, ...history.mounts, ...notifications.mounts],
      requests: { cpu: '100m', memory: '256Mi' },
      memoryLimit: '512Mi',
      served: false,
    }),
  ]
}
