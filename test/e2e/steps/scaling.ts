import type { Step } from '../run-steps.ts'
import { openTraffic } from '../traffic.ts'
import {
  conditionOf,
  demo,
  must,
  pipelineDocument,
  podsOf,
  secondsUntil,
  topicsOf,
  untilReady,
  type World,
} from '../world.ts'

const name = 'bursty'
const most = 3

/** A pipeline of its own, so that its quiet time goes on while other steps run. */
export const scaleUp: readonly Step<World>[] = [
  {
    name: 'the lag floor and the HPA scale consumers from 1 to 3: exact',
    async run(world, measure) {
      const { kubectl, brokers, kafka } = world
      const autoscaling = { minReplicas: 1, maxReplicas: most, targetLag: 2000, targetCpuPercent: 90 }
      // So little that one consumer cannot keep up with what three can.
      const resources = { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '150m', memory: '512Mi' } }
      const spec = {
        state: { redis: { managed: { memoryMebibytes: 64, storage: { type: 'Ephemeral' } } } },
        consumer: { autoscaling, resources, replicas: undefined },
      }
      await kubectl.apply(pipelineDocument(name, brokers, spec))
      await untilReady(world, name)
      must((await podsOf(world, name, 'consumer')).length === 1, 'more than one consumer to begin with')
      const traffic = await openTraffic(kafka, topicsOf(name))
      try {
        await untilSettled(world)
        await traffic.burst(20_000)
        traffic.start(6000)
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

/** The operator lets a group settle for a minute after it saw it first, or changed it: one rebalance at a time. */
async function untilSettled({ kubectl }: World): Promise<void> {
  await secondsUntil(async () => {
    const pipeline = await kubectl.get('apl', name, demo)
    const seen = Date.parse(conditionOf(pipeline, 'SourceReachable')?.lastTransitionTime ?? '')
    must(Date.now() - seen > 65_000, 'the group has not settled')
  })
}

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
