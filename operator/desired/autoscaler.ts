import type { ScaledRole } from '../../lib/pipeline/spec.ts'
import { autoscalers, deployments } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, childName, type Parent } from './child.ts'
import type { Bounds } from './replicas.ts'

/**
 * A consumer that joins or leaves stops the whole group for a moment, so consumers change seldom and go slowly; the other
 * two follow the load.
 */
const behaviors = {
  consumer: {
    scaleUp: {
      stabilizationWindowSeconds: 30,
      selectPolicy: 'Max',
      policies: [
        { type: 'Percent', value: 100, periodSeconds: 60 },
        { type: 'Pods', value: 2, periodSeconds: 60 },
      ],
    },
    scaleDown: {
      stabilizationWindowSeconds: 600,
      selectPolicy: 'Max',
      policies: [{ type: 'Pods', value: 1, periodSeconds: 300 }],
    },
  },
  inference: {
    scaleUp: {
      stabilizationWindowSeconds: 0,
      selectPolicy: 'Max',
      policies: [
        { type: 'Percent', value: 100, periodSeconds: 30 },
        { type: 'Pods', value: 2, periodSeconds: 30 },
      ],
    },
    scaleDown: {
      stabilizationWindowSeconds: 300,
      selectPolicy: 'Max',
      policies: [{ type: 'Percent', value: 25, periodSeconds: 60 }],
    },
  },
} as const

interface Target extends Bounds {
  readonly targetCpuPercent: number
  readonly behavior?: Readonly<Record<string, unknown>> | undefined
}

/** The HPA of a workload: CPU within the bounds. */
export function autoscaler(
  parent: Parent,
  role: ScaledRole,
  { minReplicas, maxReplicas, targetCpuPercent, behavior }: Target,
): KubeObject {
  const spec = {
    scaleTargetRef: { apiVersion: deployments.apiVersion, kind: deployments.kind, name: childName(parent, role) },
    minReplicas,
    maxReplicas,
    metrics: [
      {
        // Of this container: what runs beside it says nothing of the load.
        type: 'ContainerResource',
        containerResource: {
          name: 'cpu',
          container: role,
          target: { type: 'Utilization', averageUtilization: targetCpuPercent },
        },
      },
    ],
    behavior: behavior ?? (role === 'consumer' ? behaviors.consumer : behaviors.inference),
  }
  return child(parent, autoscalers, role, { spec }, { component: role })
}
