import { services } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { type Component, child, type Parent, selectorLabels } from './child.ts'

export interface ServicePort {
  readonly name: string
  readonly port: number
  readonly appProtocol?: string
}

/** A Service of a component; headless where callers spread their calls themselves or address pods one by one. */
export function service(
  parent: Parent,
  component: Component,
  ports: readonly ServicePort[],
  { headless, unready }: { readonly headless: boolean; readonly unready?: boolean },
): KubeObject {
  const spec = {
    type: 'ClusterIP',
    ...(headless ? { clusterIP: 'None' } : {}),
    // A pod that waits for something says so itself.
    ...(unready === true ? { publishNotReadyAddresses: true } : {}),
    selector: selectorLabels(parent, component),
    ports: ports.map(({ name, port, appProtocol }) => ({
      name,
      port,
      targetPort: name,
      protocol: 'TCP',
      ...(appProtocol === undefined ? {} : { appProtocol }),
    })),
  }
  return child(parent, services, component, { spec }, { component })
}
