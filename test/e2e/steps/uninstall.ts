import { installFile } from '../../../tools/release/chart.ts'
import type { Step } from '../run-steps.ts'
import { demo, must, pipelineDocument, secondsUntil, system, untilReady, type World } from '../world.ts'

const kinds =
  'deployments,statefulsets,replicasets,pods,services,configmaps,secrets,serviceaccounts,hpa,pdb,networkpolicies,pvc,leases,cronjobs,jobs,apl'

/** Names of what there is in a namespace beside what every namespace has. */
async function namesIn({ kubectl }: World, namespace: string): Promise<string[]> {
  const names = (await kubectl(['-n', namespace, 'get', kinds, '-o', 'name'])).split('\n').filter((name) => name !== '')
  const everywhere = new Set(['configmap/kube-root-ca.crt', 'serviceaccount/default'])
  return names.filter((name) => !everywhere.has(name))
}

async function clusterWide({ kubectl }: World): Promise<string[]> {
  const names = await kubectl(['get', 'clusterroles,clusterrolebindings', '-o', 'name'])
  return names.split('\n').filter((name) => name.includes('anomaly'))
}

export const uninstallSteps: readonly Step<World>[] = [
  {
    name: 'kubectl delete of the pipelines leaves nothing',
    async run(world) {
      await world.traffic.close()
      await world.kubectl(['-n', demo, 'delete', 'apl', '--all'])
      await secondsUntil(async () => {
        const left = await namesIn(world, demo)
        must(left.length === 0, `left: ${left.join(' ')}`)
      })
    },
  },
  {
    name: 'helm uninstall leaves the CRD and nothing else',
    async run(world) {
      const { helm, kubectl } = world
      await helm(['test', 'anomaly-operator', '-n', system])
      await helm(['uninstall', 'anomaly-operator', '-n', system, '--wait'])
      await secondsUntil(async () => {
        const left = [...(await namesIn(world, system)), ...(await clusterWide(world))]
        must(left.length === 0, `left: ${left.join(' ')}`)
      })
      must((await kubectl.find('crd', 'anomalypipelines.anomaly.com')) !== undefined, 'the CRD is gone')
      await kubectl(['delete', 'namespace', system])
    },
  },
  {
    name: 'kubectl apply of manifests/operator: a pipeline is Ready, and all of it can be deleted',
    async run(world) {
      const { kubectl, brokers } = world
      await kubectl(['apply', '--server-side', '--force-conflicts', '-f', installFile])
      await kubectl(['-n', system, 'rollout', 'status', 'deployment/anomaly-operator', '--timeout=120s'])
      const ephemeral = { redis: { managed: { memoryMebibytes: 64, storage: { type: 'Ephemeral' } } } }
      await kubectl.apply(pipelineDocument('applied', brokers, { state: ephemeral }))
      await untilReady(world, 'applied')
      await kubectl(['-n', demo, 'delete', 'apl', 'applied'])
      await kubectl(['delete', '--ignore-not-found', '-f', installFile], { timeoutMs: 180_000 })
      must((await kubectl.find('namespace', system)) === undefined, 'the namespace is still there')
    },
  },
]
