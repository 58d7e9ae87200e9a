import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster, Role, Scene } from '../../test/integration/consumer/cluster.ts'
import type { KafkaServers } from '../../tools/servers/kafka/kafka.ts'
import { kafkaApi } from '../../tools/servers/proxy.ts'
import type { Gate } from './gate.ts'
import { type ReadRecord, readWithJava } from './java-reader.ts'
import type { Random } from './random.ts'
import { isOfRest } from './rest-callers.ts'

/** What runs, and is replaced where a fault ended it. */
export interface World {
  readonly cluster: Cluster<KafkaServers>
  readonly scene: Scene
  readonly inferenceAddress: { readonly host: string; readonly port: number }
  readonly apiPort: number
  readonly random: Random
  /** Of all who send events that must be judged. */
  readonly gate: Gate
  consumers: Role[]
  inference: Role
  api: Role
  partitions: number
  /** What the topics of events had that were deleted. */
  readonly formerTopics: ReadRecord[][]
}

type Fault = (world: World) => Promise<void>

/** Takes a consumer that no other fault has; there may be none. */
function takeConsumer(world: World): Role | undefined {
  if (world.consumers.length === 0) return undefined
  const role = world.random.oneOf(world.consumers)
  world.consumers = world.consumers.filter((one) => one !== role)
  return role
}

async function startConsumer({ scene, inferenceAddress }: World): Promise<Role> {
  const { host, port } = inferenceAddress
  return scene.consumer({ inference: `${host}:${port}`, isAlone: false })
}

/** Takes one consumer away, and puts another one in its place. */
async function replaceConsumer(world: World, end: (role: Role) => Promise<unknown>): Promise<void> {
  const role = takeConsumer(world)
  if (role === undefined) return
  await end(role)
  const next = await startConsumer(world)
  world.consumers = [...world.consumers, next]
}

/** More events than the former topic had, up to so many: offsets of the former are in the new one, too. */
const mostFed = 40_000

/** While consumers run, stand still, or are killed. */
async function remakeTopic(world: World): Promise<void> {
  const { cluster, scene, gate, random } = world
  const how = random.oneOf(['run', 'stand still', 'are killed'] as const)
  const away: Role[] = []
  while (how !== 'run' && world.consumers.length > 0) away.push(takeConsumer(world)!)
  for (const role of away) {
    if (how === 'stand still') role.pause()
    else await role.kill()
  }
  await gate.hold(async () => {
    const former = await readWithJava(cluster.kafka, scene.topics.source, isOfRest)
    world.formerTopics.push(former)
    world.partitions = 2 + random.below(5)
    await scene.remakeTopic(world.partitions)
  })
  const [former] = world.formerTopics.slice(-1)
  if (how !== 'run') await scene.feed(Math.min(mostFed, Math.round(1.3 * former!.length)))
  for (const role of away) {
    if (how === 'stand still') role.resume()
    world.consumers = [...world.consumers, how === 'stand still' ? role : await startConsumer(world)]
  }
}

/** What a fault that touches the topic of events must be alone for. */
const topic = 'topic'
export const topicRemade = 'topic made anew'
const steps = Object.values(kafkaApi)

interface RandomFault {
  /** How often it comes, in relation to the others. */
  readonly weight: number
  /** Two that touch the same do not come at once. */
  readonly touches?: string
  /** Where there is one broker, its kill may lose what it has acknowledged: see docs/operations.md. */
  readonly needsReplicas?: boolean
  readonly run: Fault
}

export const faults: Readonly<Record<string, RandomFault>> = {
  'consumer killed': { weight: 3, run: (world) => replaceConsumer(world, (role) => role.kill()) },
  'consumer ended by SIGTERM': { weight: 2, run: (world) => replaceConsumer(world, (role) => role.stop(30_000)) },
  'consumer stands still': {
    weight: 3,
    run: async (world) => {
      const role = takeConsumer(world)
      role?.pause()
      await delay(500 + world.random.below(15_000))
      role?.resume()
      if (role !== undefined) world.consumers = [...world.consumers, role]
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
    touches: topic,
    run: async ({ cluster, random }) => {
      const node = random.oneOf(cluster.kafka.nodes)
      node.pause()
      await delay(random.below(5000))
      node.resume()
    },
  },
  'broker killed': {
    weight: 3,
    touches: topic,
    needsReplicas: true,
    run: async ({ cluster, random }) => {
      const node = random.oneOf(cluster.kafka.nodes)
      await node.kill()
      await delay(random.below(8000))
      await node.start()
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
  'API killed': {
    weight: 2,
    run: async (world) => {
      const { scene, inferenceAddress, apiPort } = world
      await world.api.kill()
      const { host, port } = inferenceAddress
      world.api = await scene.api({ inference: `${host}:${port}`, port: apiPort })
    },
  },
  [topicRemade]: { weight: 1, touches: topic, run: remakeTopic },
  'partition added': {
    weight: 1,
    touches: topic,
    run: async (world) => {
      if (world.partitions < 8) await world.scene.addPartitions(++world.partitions)
    },
  },
}

/** One at random, by weight; gives its name. */
export function drawFault({ random, cluster }: World): string {
  const entries = Object.entries(faults).filter(([, fault]) => !fault.needsReplicas || cluster.kafka.nodes.length > 1)
  let at = random.next() * entries.reduce((sum, [, { weight }]) => sum + weight, 0)
  for (const [name, { weight }] of entries) {
    at -= weight
    if (at < 0) return name
  }
  return entries[0]![0]
}
