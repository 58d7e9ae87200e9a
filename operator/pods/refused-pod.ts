import type { Reason } from '../problem.ts'
import { events } from '../runtime/events.ts'
import type { KubeClient } from '../runtime/kube-client.ts'
import type { KubeObject } from '../runtime/kube-object.ts'

const reason = 'FailedCreate'

interface Happening {
  readonly message?: string
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
): Promise<Reason | undefined> {
  const fieldSelector = `involvedObject.uid=${uid},reason=${reason}`
  const { items } = await client.list(events, { namespace, fieldSelector, signal })
  return lastRefusal(items)
}

/** What the last of the events says. */
export function lastRefusal(found: readonly KubeObject[]): Reason | undefined {
  const [last] = found.toSorted((a, b) => lastSeen(b) - lastSeen(a))
  if (last === undefined) return undefined
  const { message = '' } = last as Happening
  return { reason, message: message.replace(/^\(combined from similar events\):? /, '') }
}

function lastSeen(event: KubeObject): number {
  const { series, lastTimestamp, eventTime } = event as Happening
  return Date.parse(series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? event.metadata.creationTimestamp ?? '')
}
