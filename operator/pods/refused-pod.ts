import { events } from '../runtime/events.ts'
import type { KubeClient } from '../runtime/kube-client.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import type { Waiting } from './waiting-pod.ts'

interface Happening {
  readonly reason?: string
  readonly message?: string
  readonly firstTimestamp?: string | null
  readonly lastTimestamp?: string | null
  readonly eventTime?: string | null
  readonly series?: { readonly lastObservedTime?: string | null } | null
}

/**
 * Why there is no pod of a StatefulSet. It says so nowhere but in its events: it has no condition such as the
 * ReplicaFailure of a Deployment.
 */
export async function refusalOf(
  client: KubeClient,
  { metadata: { uid, namespace } }: KubeObject,
  signal: AbortSignal,
): Promise<Waiting | undefined> {
  const fieldSelector = `involvedObject.uid=${uid},reason=FailedCreate`
  return lastRefusal((await client.list(events, { namespace, fieldSelector, signal })).items)
}

/** Why the volume of a StatefulSet's first pod is not made, as when there is no such class. */
export async function claimProblemOf(
  client: KubeClient,
  { metadata: { name, namespace } }: KubeObject,
  signal: AbortSignal,
): Promise<Waiting | undefined> {
  const claim = `involvedObject.kind=PersistentVolumeClaim,involvedObject.name=data-${name}-0`
  const fieldSelector = `${claim},reason=ProvisioningFailed`
  return lastRefusal((await client.list(events, { namespace, fieldSelector, signal })).items)
}

/** What the last of the events says. */
export function lastRefusal(found: readonly KubeObject[]): Waiting | undefined {
  const [last] = found.toSorted((a, b) => lastSeen(b) - lastSeen(a))
  if (last === undefined) return undefined
  const { reason = 'FailedCreate', message = '', firstTimestamp, eventTime } = last as Happening
  return {
    reason,
    message: message.replace(/^\(combined from similar events\):? /, ''),
    since: firstTimestamp ?? eventTime ?? last.metadata.creationTimestamp,
    needsPerson: true,
  }
}

function lastSeen(event: KubeObject): number {
  const { series, lastTimestamp, eventTime } = event as Happening
  return Date.parse(series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? event.metadata.creationTimestamp ?? '')
}
