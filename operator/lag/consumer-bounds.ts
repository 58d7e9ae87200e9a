import { resolveScaling } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Bounds } from '../desired/replicas.ts'

/** What is known of a topic that the consumers depend on; absent: not looked at yet. */
export interface LagDemand {
  readonly partitions?: number | undefined
  /** Fewest consumers that the lag asks for. */
  readonly floor?: number | undefined
}

/**
 * The bounds of the consumers: those of the document as it is now, raised by what the lag asks for, and never above the
 * number of partitions, since others would have nothing to do. Undefined with fixed replicas.
 */
export function consumerBounds(
  { spec }: Pipeline,
  { partitions = Number.POSITIVE_INFINITY, floor }: LagDemand,
): { readonly recommended: Bounds; readonly applied: Bounds } | undefined {
  const scaling = resolveScaling(spec, 'consumer')
  if (scaling.type === 'fixed') return undefined
  const maxReplicas = Math.max(1, Math.min(scaling.maxReplicas, partitions))
  const least = Math.min(scaling.minReplicas, maxReplicas)
  const recommended = { minReplicas: Math.min(maxReplicas, Math.max(least, floor ?? least)), maxReplicas }
  return { recommended, applied: scaling.mode === 'Automatic' ? recommended : { minReplicas: least, maxReplicas } }
}
