import { configMaps, deployments, networkPolicies, secrets, serviceAccounts, services } from '../kinds.ts'
import { describeObject, type KubeObject } from '../runtime/kube-object.ts'
import { childName, type Parent } from './child.ts'

/**
 * Without which other children a child must not be (`describeObject`): as whom its pods run, what they read, whom they
 * call by name, and who may call them. Where one of these names belongs to somebody else, the pods would run as that
 * ServiceAccount, or send that Service their events.
 */
export function needsOf(parent: Parent, { kind, metadata }: KubeObject): readonly string[] {
  const one = ({ kind: kindOf }: { readonly kind: string }, suffix: string): string => {
    const { namespace } = metadata
    return describeObject({
      kind: kindOf,
      metadata: { name: childName(parent, suffix), ...(namespace && { namespace }) },
    })
  }
  const component = metadata.labels?.['app.kubernetes.io/component'] ?? ''
  const redis = [one(secrets, 'redis'), one(services, 'redis'), one(services, 'redis-primary')]
  const own = [
    one(serviceAccounts, ''),
    one(serviceAccounts, component),
    one(networkPolicies, component),
    one(services, component),
  ]
  if (kind === 'HorizontalPodAutoscaler') return [one(deployments, component)]
  if (kind === 'CronJob' || kind === 'Job') return [one(serviceAccounts, ''), one(networkPolicies, component), ...redis]
  if (kind === 'StatefulSet') return [...own, ...redis]
  if (kind !== 'Deployment') return []
  if (component === 'recorder') return [...own, one(configMaps, 'pipeline')]
  const called = component === 'inference' ? [] : [one(secrets, 'signing'), one(services, 'inference')]
  return [...own, ...redis, one(configMaps, 'pipeline'), ...called]
}
