import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster, Role, Scene } from '../../test/integration/consumer/cluster.ts'
import { kafkaApi } from '../../tools/servers/proxy.ts'
import type { Random } from './random.ts'

/** What runs, and is replaced where a fault ended it. */
export interface World {
  readonly cluster: Cluster
  readonly scene: Scene
  readonly inferenceAddress: { readonly host: string; readonly port: number }
  consumers: Role[]
  inference: Role
  partitions: number
  readonly random: Random
}

type Fault = (world: World) => Promise<void>

/** Takes one consumer away, and puts another one in its place. */
async function replaceConsumer(world: World, end: (role: Role) => Promise<unknown>): Promise<void> {
  const { consumers, inferenceAddress, random, scene } = world
  const role = random.oneOf(consumers)
  await end(role)
  const { host, port } = inferenceAddress
  const next = await scene.consumer({ inference: `${host}:${port}`, isAlone: false })
  world.consumers = [...world.consumers.filter((one) => one !== role), next]
}

const steps = Object.values(kafkaApi)

/** Every fault with how often it comes, in relation to the others. */
export const faults: Readonly<Record<string, { readonly weight: number; readonly run: Fault }>> = {
  'consumer killed': { weight: 3, run: (world) => replaceConsumer(world, (role) => role.kill()) },
  'consumer ended by SIGTERM': { weight: 2, run: (world) => replaceConsumer(world, (role) => role.stop(30_000)) },
  'consumer stands still': {
    weight: 3,
    run: async ({ consumers, random }) => {
      const role = random.oneOf(consumers)
      role.pause()
      await delay(500 + random.below(15_000))
      role.resume()
    },
  },
  'reply lost': {
    weight: 6,
    run: async ({ cluster, random }) => {
      const cut = cluster.kafka.proxy!.cutReply(random.oneOf(steps), 1 + random.below(5))
      await Promise.race([cut, delay(3000)])
    },
  },
  'connections reset': {
    weight: 2,
    run: async ({ cluster, random }) => {
      cluster.kafka.proxy!.drop()
      await delay(random.below(3000))
      cluster.kafka.proxy!.accept()
    },
  },
  'network stalls': {
    weight: 2,
    run: async ({ cluster, random }) => {
      cluster.kafka.proxy!.stall()
      await delay(random.below(12_000))
      cluster.kafka.proxy!.flow()
    },
  },
  'broker stands still': {
    weight: 1,
    run: async ({ cluster, random }) => {
      cluster.kafka.pause()
      await delay(random.below(5000))
      cluster.kafka.resume()
    },
  },
  'Redis stands still': {
    weight: 2,
    run: async ({ cluster, random }) => {
      cluster.redis.pause()
      await delay(random.below(5000))
      cluster.redis.resume()
    },
  },
  'Redis comes back empty': { weight: 1, run: ({ cluster }) => cluster.redis.restart({ downMs: 500 }) },
  'inference killed': {
    weight: 2,
    run: async (world) => {
      await world.inference.kill()
      world.inference = await world.scene.inference(world.inferenceAddress)
    },
  },
  'partition added': {
    weight: 1,
    run: async (world) => {
      if (world.partitions < 8) await world.scene.addPartitions(++world.partitions)
    },
  },
}

/** One at random, by weight; gives its name. */
export function drawFault(random: Random): string {
  const entries = Object.entries(faults)
  let at = random.next() * entries.reduce((sum, [, { weight }]) => sum + weight, 0)
  for (const [name, { weight }] of entries) {
    at -= weight
    if (at < 0) return name
  }
  return entries[0]![0]
}
