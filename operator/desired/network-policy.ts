import { resolveRoles } from '../../lib/pipeline/resolve-pipeline.ts'
import { networkPolicies } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, manager, type Parent, type PodComponent, ports, selectorLabels } from './child.ts'

const tcp = (port: number) => ({ protocol: 'TCP', port })
const podsOf = (parent: Parent, component: PodComponent) => ({
  podSelector: { matchLabels: selectorLabels(parent, component) },
})
/** The operator, wherever it runs, tells two servers which of them leads. */
const operatorPods = {
  namespaceSelector: {},
  podSelector: { matchLabels: { 'app.kubernetes.io/name': manager } },
}

const metrics = { ports: [tcp(ports.metrics)] }
const dns = { ports: [{ protocol: 'UDP', port: 53 }, tcp(53)] }

/** Who may connect to the pods of a component: to each port those that have business there. */
function ingress(parent: Parent, component: PodComponent, isPair: boolean): readonly object[] {
  switch (component) {
    case 'consumer':
    case 'recorder':
      return [metrics]
    case 'inference':
      // The public gRPC contract is for anybody in the namespace.
      return [{ from: [{ podSelector: {} }], ports: [tcp(ports.grpc)] }, metrics]
    case 'api':
      return [{ ports: [tcp(ports.api)] }, metrics]
    case 'redis-backup':
    case 'redis-copy':
      return []
    case 'redis': {
      const from = (['consumer', 'inference', 'api'] as const).map((role) => podsOf(parent, role))
      const pair = isPair ? [podsOf(parent, 'redis'), operatorPods] : []
      return [
        {
          from: [...from, podsOf(parent, 'redis-backup'), podsOf(parent, 'redis-copy'), ...pair],
          ports: [tcp(ports.redis)],
        },
      ]
    }
  }
}

/** Where the pods of a component may connect to: each other as they need it, DNS, and what the user lists. */
function egress(parent: Parent, component: PodComponent, isPair: boolean): readonly object[] {
  if (component === 'redis') return isPair ? [{ to: [podsOf(parent, 'redis')], ports: [tcp(ports.redis)] }] : []
  const listed = parent.pipeline.spec.network.egress.map(({ cidr, ports: open }) => ({
    to: [{ ipBlock: { cidr } }],
    ports: open.map(tcp),
  }))
  if (component === 'recorder') return [dns, ...listed]
  const redis = { to: [podsOf(parent, 'redis')], ports: [tcp(ports.redis)] }
  if (component === 'redis-backup') return [dns, redis]
  if (component === 'redis-copy') return [dns, redis, ...listed]
  const inference = { to: [podsOf(parent, 'inference')], ports: [tcp(ports.grpc)] }
  // The console tells of them.
  const peers = {
    to: resolveRoles(parent.pipeline.spec).map((role) => podsOf(parent, role)),
    ports: [tcp(ports.metrics)],
  }
  return [
    ...[dns, redis],
    ...(component === 'inference' ? [] : [inference]),
    ...(component === 'api' ? [peers] : []),
    ...listed,
  ]
}

/** The NetworkPolicy of a component, as the pipeline wants it; none where it wants none. */
export function networkPolicy(
  parent: Parent,
  component: PodComponent,
  { isRedisPair }: { readonly isRedisPair: boolean },
): readonly KubeObject[] {
  const { policy } = parent.pipeline.spec.network
  if (policy === 'Disabled') return []
  const isBoth = policy === 'IngressAndEgress'
  const spec = {
    podSelector: { matchLabels: selectorLabels(parent, component) },
    policyTypes: isBoth ? ['Ingress', 'Egress'] : ['Ingress'],
    ingress: ingress(parent, component, isRedisPair),
    ...(isBoth ? { egress: egress(parent, component, isRedisPair) } : {}),
  }
  return [child(parent, networkPolicies, component, { spec }, { component })]
}
