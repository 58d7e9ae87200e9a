import type { Step } from '../run-steps.ts'
import { demo, must, pipelineDocument, secondsUntil, system, untilCondition, untilReady, type World } from '../world.ts'

const name = 'troubled'
const ephemeral = { state: { redis: { managed: { memoryMebibytes: 64, storage: { type: 'Ephemeral' } } } } }

/** What keeps pods from starting is said in the status, and gone from it when it is mended. */
export const namingSteps: readonly Step<World>[] = [
  {
    name: 'a missing Secret is named, and its appearance heals',
    async run(world) {
      const { kubectl, brokers } = world
      const auth = { mode: 'Bearer', secretRef: { name: 'tokens' } }
      await kubectl.apply(pipelineDocument(name, brokers, { ...ephemeral, api: { replicas: 1, auth } }))
      await untilCondition(world, name, { type: 'Ready', status: 'False', reason: 'SecretMissing', message: /tokens/ })
      await kubectl(['-n', demo, 'create', 'secret', 'generic', 'tokens', '--from-literal=me=a-token'])
      await untilReady(world, name)
    },
  },
  {
    name: 'a quota that forbids pods is named',
    async run(world) {
      const { kubectl } = world
      const quota = {
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'full', namespace: demo },
        spec: { hard: { pods: '1' } },
      }
      await kubectl.apply(quota)
      // The API server counts what is there first.
      await secondsUntil(async () =>
        must(
          (await kubectl.get('resourcequota', 'full', demo)).status?.used?.pods !== undefined,
          'the quota counts nothing',
        ),
      )
      await kubectl.patch('apl', name, demo, { spec: { consumer: { replicas: 2 } } })
      await untilCondition(world, name, { type: 'Ready', status: 'False', message: /quota/ })
      await kubectl(['-n', demo, 'delete', 'resourcequota', 'full'])
      await untilReady(world, name)
    },
  },
  {
    name: 'an image that cannot be pulled is named, while the old pods go on',
    async run(world) {
      const { kubectl } = world
      const available = kubectl.watch('deployment', `${name}-consumer`, demo, '{.status.availableReplicas}')
      const operator = await kubectl.get('deployment', 'anomaly-operator', system)
      const { args } = operator.spec.template.spec.containers[0] as { args: string[] }
      const at = args.findIndex((argument) => argument.startsWith('--workload-image='))
      const setImage = async (argument: string): Promise<void> => {
        const change = [{ op: 'replace', path: `/spec/template/spec/containers/0/args/${at}`, value: argument }]
        await kubectl([
          ...['-n', system, 'patch', 'deployment', 'anomaly-operator', '--type=json'],
          ...['-p', JSON.stringify(change)],
        ])
      }
      try {
        await setImage('--workload-image=docker.io/library/anomaly:absent')
        await untilCondition(world, name, { type: 'Ready', status: 'False', message: /pull/i })
        await untilCondition(world, name, { type: 'Available', status: 'True' })
        await setImage(args[at]!)
        await untilReady(world, name)
        must(!available.seen.includes('0'), `available consumers: ${available.seen.join(', ')}`)
      } finally {
        available.stop()
      }
      await kubectl(['-n', demo, 'delete', 'apl', name])
    },
  },
]
