import { resolveScaling } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline, Role } from '../../lib/pipeline/spec.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { replicasAnnotation } from './child.ts'

/**
 * Who says how many replicas a Deployment has, kept on it as `anomaly.com/replicas`:
 * `fixed` the operator, by the document; `autoscaled` its HPA, and the operator states nothing;
 * a number: the operator, for as long as that is the count to go back to (paused, taken over from an HPA, or begun with).
 */
export interface ReplicasPlan {
  /** What the operator states; absent: the field is not its own. */
  readonly replicas?: number
  /** Of the annotation. */
  readonly mark: string
  /** The operator owns the field and must give it to another manager, at its present value, before it stops to state it. */
  readonly handOver?: true
  /** Whether there should be an HPA: only when the operator does not own the field. */
  readonly autoscaler: boolean
}

export interface Bounds {
  readonly minReplicas: number
  readonly maxReplicas: number
}

export interface ReplicasInput {
  readonly spec: Pipeline['spec']
  readonly role: Role
  /** The Deployment as it is. */
  readonly live: KubeObject | undefined
  readonly autoscalerExists: boolean
  /** Narrower bounds than the document's, as the lag asks for. */
  readonly bounds?: Bounds | undefined
}

/**
 * The next step for the replicas of a workload. A server-side apply that no longer states a field which it owned resets
 * it, here to 1: so the field changes hands first, at its present value, and no toggle ever lets pods go.
 */
export function planReplicas({ spec, role, live, autoscalerExists, bounds }: ReplicasInput): ReplicasPlan {
  const scaling = resolveScaling(spec, role)
  const present = (live?.spec as { replicas?: number } | undefined)?.replicas ?? 0
  const mark = live?.metadata.annotations?.[replicasAnnotation]
  const kept = mark !== undefined && /^[1-9][0-9]*$/.test(mark) ? Number(mark) : undefined
  const former = kept ?? (present > 0 ? present : undefined)
  const state = (replicas: number, as = String(replicas)): ReplicasPlan => ({ replicas, mark: as, autoscaler: false })

  if (spec.desiredState === 'Paused') {
    const begin = scaling.type === 'fixed' ? scaling.replicas : scaling.minReplicas
    return state(0, String(spec[role].replicas ?? former ?? begin))
  }
  if (scaling.type === 'autoscaling') {
    const autoscaler = scaling.mode !== 'External'
    // Somebody else's autoscaler may go to none.
    if (!autoscaler && live !== undefined && mark === 'autoscaled') return { mark, autoscaler }
    const { minReplicas, maxReplicas } = bounds ?? scaling
    const wanted = Math.min(maxReplicas, Math.max(minReplicas, 1, former ?? minReplicas))
    if (live === undefined || present === 0) return state(wanted)
    if (mark === 'autoscaled') return { mark, autoscaler }
    return { mark: 'autoscaled', handOver: true, autoscaler }
  }
  if (mark === 'autoscaled') {
    // First the HPA goes, so that it cannot change what is about to be taken over.
    if (autoscalerExists) return { mark, autoscaler: false }
    return spec[role].replicas === undefined && present > 0 ? state(present) : state(scaling.replicas, 'fixed')
  }
  return spec[role].replicas === undefined && kept !== undefined ? state(kept) : state(scaling.replicas, 'fixed')
}
