import { KubeConfig } from '@kubernetes/client-node'
import { expect } from 'chai'
import * as kinds from '../../../operator/kinds.ts'
import type { KubeObject, Resource } from '../../../operator/runtime/kube-object.ts'
import { renderedObjects } from '../../../tools/release/chart.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { useHelm } from '../../harness/chart/use-helm.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, useOperator } from '../../harness/operator.ts'

const group = 'rbac.authorization.k8s.io/v1'

describe('Operator: permissions', () => {
  useHelm()
  const cluster = useApiServer()
  const bench = useOperator(cluster)
  const given: { readonly resource: Resource; readonly role: KubeObject }[] = []

  afterEach('take the rights away again', async () => {
    for (const { resource, role } of given.splice(0)) await bench.client.delete(resource, role.metadata)
  })

  /** A kubeconfig with no more rights than the chart gives to an operator in the namespace `default`. */
  async function restricted(
    namespaces: readonly string[] = [],
    change: (role: KubeObject) => KubeObject = (role) => role,
  ): Promise<KubeConfig> {
    const objects = await renderedObjects({ namespace: 'default', values: { namespaces } })
    for (const role of objects.filter(({ apiVersion }) => apiVersion === group).map(change)) {
      const { kind } = role
      const namespaced = !kind.startsWith('Cluster')
      const resource: Resource = { apiVersion: group, kind, plural: `${kind.toLowerCase()}s`, namespaced }
      await bench.client.apply(resource, role, { fieldManager: 'test', force: true })
      given.push({ resource, role })
    }
    const config = new KubeConfig()
    config.loadFromClusterAndUser(
      { name: 'test', server: cluster.proxy.url, skipTLSVerify: true },
      { name: 'admin', token: cluster.server.token, impersonateUser: `system:serviceaccount:default:anomaly-operator` },
    )
    return config
  }
  const refused = () =>
    cluster.proxy.requests.filter(({ status }) => status === 403).map(({ verb, path }) => `${verb} ${path}`)

  it('are enough for the life of a pipeline', async () => {
    const namespace = await bench.namespace()
    await bench.start({ kubeConfig: await restricted() })
    await bench.apply(namespace)
    // As where a quota refuses the pod of Redis.
    await eventually(() => bench.get(kinds.statefulSets, namespace, 'payments-redis'))
    const redis = await bench.get(kinds.statefulSets, namespace, 'payments-redis')
    const status = { observedGeneration: redis.metadata.generation, replicas: 0 }
    await bench.client.patch(kinds.statefulSets, redis.metadata, { status }, { subresource: 'status' })
    await eventually(async () => expect((await bench.status(namespace)).components?.redis?.reason).to.equal('NoPods'))
    expect(cluster.proxy.count(['list'], '/events')).to.be.at.least(1)
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

  it('that are missing, as in a role of an earlier release, are named by readiness', async () => {
    const withoutJobs = (role: KubeObject): KubeObject => {
      const rules = role.rules as readonly { readonly resources?: readonly string[] }[] | undefined
      if (rules === undefined) return role
      const kept = rules.map((rule) => ({ ...rule, resources: rule.resources?.filter((name) => name !== 'jobs') }))
      return { ...role, rules: kept }
    }
    const operator = await bench.start({ kubeConfig: await restricted([], withoutJobs) })
    await eventually(() =>
      expect(operator.cacheProblem()).to.match(/^the first lists have not come yet: Cannot list jobs: .*forbidden/),
    )
  })
})
