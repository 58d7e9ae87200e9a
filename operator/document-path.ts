import type { KubeObject } from './runtime/kube-object.ts'

/** Paths of a child, and of the document's field that it comes from; `@` is the part of the document about the component. */
const paths: Readonly<Record<string, readonly (readonly [child: string, document: string])[]>> = {
  workload: [
    ['spec.template.spec.containers[0].resources', '@.resources'],
    ['spec.template.spec.containers[0].env', '@.template.env'],
    ['spec.template.spec.containers[0]', '@.template'],
    ['spec.template.spec.containers[name="COMPONENT"].resources', '@.resources'],
    ['spec.template.spec.containers[name="COMPONENT"]', '@.template'],
    ['spec.template.metadata', '@.template'],
    ['spec.template.spec', '@.template'],
    ['spec.volumeClaimTemplates[0].spec.resources.requests[storage]', '@.storage.size'],
    ['spec.volumeClaimTemplates[0].spec', '@.storage'],
    ['spec.replicas', '@.replicas'],
  ],
  HorizontalPodAutoscaler: [
    ['spec.metrics', '@.autoscaling'],
    ['spec.behavior', '@.autoscaling.behavior'],
    ['spec.minReplicas', '@.autoscaling.minReplicas'],
    ['spec.maxReplicas', '@.autoscaling.maxReplicas'],
  ],
  NetworkPolicy: [['spec.egress', 'spec.network.egress']],
}

/** What the API server says of a child, with the paths of the pipeline's document in the place of the child's. */
export function inWordsOfDocument(message: string, { kind, metadata }: KubeObject): string {
  const component = metadata.labels?.['app.kubernetes.io/component']
  if (component === undefined) return message
  const part = component === 'redis' ? 'spec.state.redis.managed' : `spec.${component}`
  const known = paths[kind === 'Deployment' || kind === 'StatefulSet' ? 'workload' : kind] ?? []
  return known.reduce((text, [child, document]) => {
    const from = child.replace('COMPONENT', component)
    return text.replaceAll(`.${from}`, from).replaceAll(from, document.replace('@', part))
  }, message)
}
