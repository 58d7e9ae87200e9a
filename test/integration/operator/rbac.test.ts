import { KubeConfig } from '@kubernetes/client-node'
import { expect } from 'chai'
import { rbac } from '../../../operator/rbac.ts'
import type { KubeObject, Resource } from '../../../operator/runtime/kube-object.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, useOperator } from '../../harness/operator.ts'

const group = 'rbac.authorization.k8s.io/v1'

describe('Operator: permissions', function () {
  this.timeout(60_000)
  const cluster = useApiServer()
  const bench = useOperator(cluster)
  let count = 0

  /** A kubeconfig with no more rights than the operator's roles give. */
  async function restricted(namespaces?: readonly string[]): Promise<KubeConfig> {
    const account = { name: `operator-${++count}`, namespace: 'default' }
    for (const role of rbac(account, namespaces)) {
      const { kind } = role
      const namespaced = !kind.startsWith('Cluster')
      const resource: Resource = { apiVersion: group, kind, plural: `${kind.toLowerCase()}s`, namespaced }
      await bench.client.apply(resource, role as KubeObject, { fieldManager: 'test', force: true })
    }
    const config = new KubeConfig()
    config.loadFromClusterAndUser(
      { name: 'test', server: cluster.proxy.url, skipTLSVerify: true },
      { name: 'admin', token: cluster.server.token, impersonateUser: `system:serviceaccount:default:${account.name}` },
    )
    return config
  }
  const refused = () =>
    cluster.proxy.requests.filter(({ status }) => status === 403).map(({ verb, path }) => `${verb} ${path}`)

  it('are enough for the life of a pipeline', async () => {
    const namespace = await bench.namespace()
    await bench.start({ kubeConfig: await restricted() })
    await bench.apply(namespace)
    await bench.untilReady(namespace)
    await bench.apply(namespace, { ...minimalSpec, consumer: { replicas: 1 }, api: { autoscaling: {} } })
    await eventually(async () => {
      const children = await bench.children(namespace)
      expect(children).to.include('HorizontalPodAutoscaler payments-api')
      expect(children).to.not.include('HorizontalPodAutoscaler payments-consumer')
    })
    await bench.quiet(300)
    expect(refused()).to.deep.equal([])
  })

  it('are enough in a list of namespaces, where other namespaces are not looked at', async () => {
    const [one, two, other] = [await bench.namespace(), await bench.namespace(), await bench.namespace()]
    await bench.start({ kubeConfig: await restricted([one, two]), namespaces: [one, two] })
    for (const namespace of [one, two, other]) await bench.apply(namespace)
    await bench.untilReady(one)
    await bench.untilReady(two)
    expect(await bench.children(other)).to.deep.equal([])
    expect(refused()).to.deep.equal([])
  })
})
