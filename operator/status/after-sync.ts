import { components } from '../desired/child.ts'
import { autoscalers as autoscalerKind } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import type { SyncResult } from '../runtime/sync.ts'
import type { Workloads } from './component-state.ts'

/** What was observed, with what a sync made of it: values in, values out. */

export function workloadsAfter(before: Workloads, sync: SyncResult | undefined): Workloads {
  if (sync === undefined) return before
  const gone = new Set(sync.pruned.map(({ metadata }) => metadata.uid))
  const after = new Map(Object.entries(before).filter(([, { metadata }]) => !gone.has(metadata.uid)))
  for (const { object } of sync.applied) {
    const component = object.metadata.labels?.['app.kubernetes.io/component']
    const isWorkload = object.kind === 'Deployment' || object.kind === 'StatefulSet'
    if (isWorkload && components.some((one) => one === component)) after.set(component!, object)
  }
  return Object.fromEntries(after)
}

export function autoscalersAfter(before: readonly KubeObject[], sync: SyncResult | undefined): readonly KubeObject[] {
  if (sync === undefined) return before
  const applied = sync.applied.flatMap(({ object }) => (object.kind === autoscalerKind.kind ? [object] : []))
  const changed = new Set([...applied, ...sync.pruned].map(({ metadata }) => metadata.name))
  return [...before.filter(({ metadata }) => !changed.has(metadata.name)), ...applied]
}
