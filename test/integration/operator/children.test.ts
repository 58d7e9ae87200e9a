import { expect } from 'chai'
import { deployments } from '../../../operator/kinds.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { traffic, useOperator } from '../../harness/operator.ts'

describe('Operator: from a pipeline to its children', function () {
  this.timeout(90_000)
  const cluster = useApiServer({ controllerManager: true })
  const bench = useOperator(cluster)

  it('makes everything that a pipeline of one line asks for', async () => {
    const namespace = await bench.namespace()
    await bench.start()
    await bench.apply(namespace)
    await eventually(async () =>
      expect(await bench.children(namespace)).to.deep.equal([
        'ConfigMap payments-pipeline',
        'Deployment payments-api',
        'Deployment payments-consumer',
        'Deployment payments-inference',
        'HorizontalPodAutoscaler payments-consumer',
        'NetworkPolicy payments-api',
        'NetworkPolicy payments-consumer',
        'NetworkPolicy payments-inference',
        'NetworkPolicy payments-redis',
        'PodDisruptionBudget payments-api',
        'PodDisruptionBudget payments-consumer',
        'PodDisruptionBudget payments-inference',
        'PodDisruptionBudget payments-redis',
        'Secret payments-redis',
        'Secret payments-signing',
        'Service payments-api',
        'Service payments-consumer',
        'Service payments-inference',
        'Service payments-redis',
        'ServiceAccount payments',
        'StatefulSet payments-redis',
      ]),
    )
  })

  it('writes and reads nothing in a second reconcile', async () => {
    const namespace = await bench.namespace()
    await bench.start()
    await bench.apply(namespace)
    await eventually(async () => expect(await bench.condition(namespace, 'Ready')).to.equal('False RedisNotReady'))
    await bench.untilReady(namespace)
    await bench.quiet()
    cluster.proxy.clear()
    // An annotation that means nothing brings the key into the queue.
    await bench.apply(namespace, undefined, { annotations: { touched: 'yes' } })
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    expect(traffic(cluster)).to.deep.equal([])
  })

  it('touches nothing when it is started again', async () => {
    const namespace = await bench.namespace()
    const first = await bench.start()
    await bench.apply(namespace)
    await eventually(() => bench.get(deployments, namespace, 'payments-api'))
    await bench.quiet()
    await bench.stop(first)
    cluster.proxy.clear()
    await bench.start()
    await bench.apply(namespace)
    await bench.quiet()
    expect(traffic(cluster).filter((call) => !call.startsWith('list') && !call.startsWith('get /api'))).to.deep.equal(
      [],
    )
  })
})
