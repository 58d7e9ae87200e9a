import type { Step } from '../run-steps.ts'
import { must, pipelineDocument, secondsUntil, troubled, untilCondition, untilReady, type World } from '../world.ts'

const name = 'named'
const ephemeral = { state: { redis: { managed: { memoryMebibytes: 64, storage: { type: 'Ephemeral' } } } } }
const inTrouble = ({ kubectl }: World) => ({ kubectl, namespace: troubled })

/** What keeps pods from starting is said in the status, and gone from it when it is mended. */
export const namingSteps: readonly Step<World>[] = [
  {
    name: 'a missing Secret is named, and its appearance heals',
    async run(world) {
      const { kubectl, brokers } = world
      await kubectl(['create', 'namespace', troubled])
      const auth = { mode: 'Bearer', secretRef: { name: 'tokens' } }
      const document = pipelineDocument(name, brokers, { ...ephemeral, api: { replicas: 1, auth } })
      await kubectl.apply({ ...document, metadata: { name, namespace: troubled } })
      const missing = { type: 'Ready', status: 'False', reason: 'SecretMissing', message: /tokens/ }
      await untilCondition(inTrouble(world), name, missing)
      await kubectl(['-n', troubled, 'create', 'secret', 'generic', 'tokens', '--from-literal=me=a-token'])
      await untilReady(inTrouble(world), name)
    },
  },
  {
    name: 'a model whose ConfigMap or claim is missing is named, while the old pods go on',
    async run(world) {
      const { kubectl } = world
      const place = inTrouble(world)
      const available = kubectl.watch('deployment', `${name}-inference`, troubled, '{.status.availableReplicas}')
      const score = (from: object) =>
        kubectl.patch('apl', name, troubled, {
          spec: { detection: { detectors: [{ name: 'mine', onnx: { from, inputs: ['value'] } }] } },
        })
      const notReady = { type: 'Ready', status: 'False' }
      try {
        await score({ configMap: { name: 'models', key: 'fraud.onnx' } })
        await untilCondition(place, name, { ...notReady, reason: 'ConfigMapMissing', message: /ConfigMap models/ })
        await score({ persistentVolumeClaim: { claimName: 'models', path: 'fraud.onnx' } })
        await untilCondition(place, name, { ...notReady, message: /persistentvolumeclaim "models" not found/ })
        await untilCondition(place, name, { type: 'Available', status: 'True' })
        await kubectl.patch('apl', name, troubled, { spec: { detection: null } })
        await untilReady(place, name)
        must(!available.seen.includes('0'), `available pods of inference: ${available.seen.join(', ')}`)
      } finally {
        available.stop()
      }
    },
  },
  {
    name: 'a quota that forbids pods is named, and its end heals',
    async run(world) {
      const { kubectl } = world
      const quota = {
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'full', namespace: troubled },
        spec: { hard: { pods: '1' } },
      }
      await kubectl.apply(quota)
      // The API server counts what is there first.
      await secondsUntil(async () =>
        must(
          (await kubectl.get('resourcequota', 'full', troubled)).status?.used?.pods !== undefined,
          'the quota counts nothing',
        ),
      )
      await kubectl.patch('apl', name, troubled, { spec: { consumer: { replicas: 2 } } })
      await untilCondition(inTrouble(world), name, { type: 'Ready', status: 'False', message: /quota/ })
      await kubectl(['-n', troubled, 'delete', 'resourcequota', 'full'])
      await untilReady(inTrouble(world), name)
      await kubectl(['delete', 'namespace', troubled])
    },
  },
]
