import type { Step } from '../run-steps.ts'
import { openTraffic } from '../traffic.ts'
import { demo, must, pipelineDocument, podsOf, secondsUntil, topicsOf, untilReady, type World } from '../world.ts'

const name = 'bursty'
const most = 3

/** A pipeline of its own, so that its quiet time goes on while other steps run. */
export const scaleUp: readonly Step<World>[] = [
  {
    name: 'the lag floor and the HPA scale consumers from 1 to 3: exact',
    async run(world, measure) {
      const { kubectl, brokers, kafka } = world
      const autoscaling = { minReplicas: 1, maxReplicas: most, targetLag: 2000, targetCpuPercent: 90 }
      // Half a core of a consumer is little enough that a burst makes a lag.
      const resources = { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '250m', memory: '512Mi' } }
      const spec = {
        state: { redis: { managed: { memoryMebibytes: 64, storage: { type: 'Ephemeral' } } } },
        consumer: { autoscaling, resources, replicas: undefined },
      }
      await kubectl.apply(pipelineDocument(name, brokers, spec))
      await untilReady(world, name)
      must((await podsOf(world, name, 'consumer')).length === 1, 'more than one consumer to begin with')
      const traffic = await openTraffic(kafka, topicsOf(name))
      try {
        await traffic.burst(100_000)
        const patched = await secondsUntil(async () => {
          const hpa = await kubectl.get('hpa', `${name}-consumer`, demo)
          must(hpa.spec.minReplicas > 1, 'the floor is still 1')
        })
        measure('lag spike to HPA patch', 15, patched)
        await secondsUntil(async () => {
          const { status } = await kubectl.get('deployment', `${name}-consumer`, demo)
          must(status.readyReplicas === most, `${status.readyReplicas} consumers are ready`)
        }, 300_000)
        await traffic.expectExact()
      } finally {
        await traffic.close()
      }
    },
  },
]

export const scaleDown: readonly Step<World>[] = [
  {
    name: 'the consumers scale back to 1',
    async run({ kubectl }) {
      await secondsUntil(async () => {
        const { spec, status } = await kubectl.get('deployment', `${name}-consumer`, demo)
        must(spec.replicas === 1 && status.replicas === 1, `${status.replicas} consumers`)
      }, 1_800_000)
      await kubectl(['-n', demo, 'delete', 'apl', name])
    },
  },
]
