import { disruptionBudgets } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { type Component, child, type Parent, selectorLabels } from './child.ts'

/** At most one pod at a time goes when nodes are drained: a budget of none would block the drain where there is one. */
export function disruptionBudget(parent: Parent, component: Component): KubeObject {
  const spec = {
    maxUnavailable: 1,
    selector: { matchLabels: selectorLabels(parent, component) },
    // Pods that are not ready anyway never hold up a drain.
    unhealthyPodEvictionPolicy: 'AlwaysAllow',
  }
  return child(parent, disruptionBudgets, component, { spec }, { component })
}
