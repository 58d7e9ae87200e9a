import { expect } from 'chai'
import { inWordsOfDocument } from './document-path.ts'

const child = (kind: string, component: string) => ({
  apiVersion: '',
  kind,
  metadata: { name: `payments-${component}`, labels: { 'app.kubernetes.io/component': component } },
})

describe('inWordsOfDocument', () => {
  for (const [kind, component, given, expected] of [
    [
      'Deployment',
      'api',
      '.spec.template.spec.affinity.nodeAfinity: field not declared',
      'spec.api.template.affinity.nodeAfinity: field not declared',
    ],
    [
      'Deployment',
      'api',
      'spec.template.spec.tolerations[0].operator: Invalid',
      'spec.api.template.tolerations[0].operator: Invalid',
    ],
    [
      'Deployment',
      'consumer',
      'spec.template.spec.containers[0].resources.requests: Invalid value',
      'spec.consumer.resources.requests: Invalid value',
    ],
    ['Deployment', 'inference', 'spec.template.metadata.labels: Invalid', 'spec.inference.template.labels: Invalid'],
    [
      'StatefulSet',
      'redis',
      'spec.template.spec.tolerations[0]: Invalid',
      'spec.state.redis.managed.template.tolerations[0]: Invalid',
    ],
    [
      'HorizontalPodAutoscaler',
      'api',
      'spec.maxReplicas: Invalid value',
      'spec.api.autoscaling.maxReplicas: Invalid value',
    ],
    [
      'NetworkPolicy',
      'api',
      'spec.egress[1].to[0].ipBlock.cidr: Invalid',
      'spec.network.egress[1].to[0].ipBlock.cidr: Invalid',
    ],
    ['Service', 'api', 'spec.ports: Invalid', 'spec.ports: Invalid'],
  ] as const)
    it(`names ${expected.split(':')[0]} for that of a ${kind}`, () => {
      expect(inWordsOfDocument(`Cannot apply it: ${given}`, child(kind, component))).to.equal(
        `Cannot apply it: ${expected}`,
      )
    })
})
