import type { Step } from '../run-steps.ts'
import { demo, must, podsOf, secondsUntil, untilReady, type World } from '../world.ts'
import { signalPod } from './faults.ts'

interface Pair {
  readonly primary: string
  readonly inSync: boolean
}

const pairOf = async ({ kubectl }: World): Promise<Pair | undefined> =>
  (await kubectl.get('apl', 'payments', demo)).status?.redis as Pair | undefined

async function untilInSync(world: World): Promise<Pair> {
  let pair: Pair | undefined
  await secondsUntil(async () => {
    pair = await pairOf(world)
    must(pair?.inSync === true, `the Redis pods are ${JSON.stringify(pair)}`)
  })
  return pair!
}

const setReplicas = ({ kubectl }: World, replicas: number): Promise<unknown> =>
  kubectl.patch('apl', 'payments', demo, { spec: { state: { redis: { managed: { replicas } } } } })

export const redisSteps: readonly Step<World>[] = [
  {
    name: 'a second Redis pod under load: exact, in sync',
    async run(world) {
      world.traffic.start(100)
      await setReplicas(world, 2)
      await untilInSync(world)
      await untilReady(world, 'payments')
      must((await podsOf(world, 'payments', 'redis')).length === 2, 'there are not two Redis pods')
      await world.traffic.expectExact()
    },
  },
  {
    name: 'the leading Redis frozen under load: the other leads, the first follows: exact',
    async run(world, measure) {
      world.traffic.start(100)
      const { primary } = await untilInSync(world)
      const pod = (await podsOf(world, 'payments', 'redis')).find(({ metadata }) => metadata.name === primary)!
      const began = performance.now()
      signalPod(pod, 'SIGSTOP', 'redis-server')
      try {
        await secondsUntil(async () => must((await pairOf(world))?.primary !== primary, `${primary} still leads`))
        measure('leading Redis frozen, the other leads', 20, (performance.now() - began) / 1000)
      } finally {
        signalPod(pod, 'SIGCONT', 'redis-server')
      }
      must((await untilInSync(world)).primary !== primary, `${primary} leads again`)
      await untilReady(world, 'payments')
      await world.traffic.expectExact()
    },
  },
  {
    name: '`kill -9` of the leading Redis under load: the other leads: exact',
    async run(world, measure) {
      world.traffic.start(100)
      const { primary } = await untilInSync(world)
      const pod = (await podsOf(world, 'payments', 'redis')).find(({ metadata }) => metadata.name === primary)!
      const began = performance.now()
      signalPod(pod, 'SIGKILL', 'redis-server')
      await secondsUntil(async () => must((await pairOf(world))?.primary !== primary, `${primary} still leads`))
      await untilReady(world, 'payments')
      measure('leading Redis killed to Ready again', 30, (performance.now() - began) / 1000)
      await world.traffic.expectExact()
    },
  },
  {
    name: 'one Redis pod again: the first leads, exact',
    async run(world) {
      world.traffic.start(100)
      await setReplicas(world, 1)
      await secondsUntil(async () =>
        must((await podsOf(world, 'payments', 'redis')).length === 1, 'there are two Redis pods'),
      )
      await untilReady(world, 'payments')
      await world.traffic.expectExact()
    },
  },
]
