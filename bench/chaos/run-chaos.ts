import { setTimeout as delay } from 'node:timers/promises'
import { startThreeBrokers } from '../../test/harness/three-brokers.ts'
import { type Cluster, clusterOf, startCluster } from '../../test/integration/consumer/cluster.ts'
import type { KafkaServers } from '../../tools/servers/kafka/kafka.ts'
import { startRedis } from '../../tools/servers/redis.ts'
import { freePorts } from '../../tools/servers/server.ts'
import { type Exactness, exactnessOf, isExact } from './exactness.ts'
import { drawFault, faults, topicRemade, type World } from './faults.ts'
import { Gate } from './gate.ts'
import { readWithJava } from './java-reader.ts'
import { randomOf } from './random.ts'
import { callRest, isOfRest, type RestExactness, restExactnessOf } from './rest-callers.ts'
import { sendAborted, sendEvents, sendUnreadable } from './senders.ts'

export interface ChaosResult extends Exactness {
  readonly seed: number
  readonly seconds: number
  readonly brokers: number
  /** How often each fault came. */
  readonly faults: Readonly<Record<string, number>>
  /** Records of transactions that were aborted: nobody may judge them. */
  readonly aborted: number
  readonly rest: RestExactness
  /** Nothing is missing, doubled, invented, out of order, or other than it was answered. */
  readonly isExact: boolean
}

export interface ChaosOptions {
  readonly seed: number
  readonly seconds: number
  /** One broker, or three with each topic on all of them; then brokers are killed as well. */
  readonly brokers?: 1 | 3 | undefined
  readonly onFault?: ((name: string) => void) | undefined
  /** Told of status and log of each consumer where records are not read in the end. */
  readonly onStuck?: ((text: string) => void) | undefined
}

const startPartitions = 4
/** Two faults overlap where one lasts longer than this. */
const pauseMs = 2000

/** Everything runs for so long under faults; then what was published is compared with what was sent. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, seconds, brokers = 1, onFault = () => {}, onStuck = () => {} } = options
  const cluster = await (brokers === 1 ? startCluster() : startReplicated())
  try {
    const scene = await cluster.scene({ partitions: startPartitions, proxied: true })
    const [port, apiPort] = (await freePorts(2)) as [number, number]
    const inferenceAddress = { host: '127.0.0.1', port }
    const inference = await scene.inference(inferenceAddress)
    const open = () => scene.consumer({ inference: inference.address, isAlone: false })
    const consumers = await Promise.all([open(), open()])
    const api = await scene.api({ inference: inference.address, port: apiPort })
    const world: World = {
      ...{ cluster, scene, inferenceAddress, apiPort, consumers, inference, api },
      random: randomOf(seed),
      gate: new Gate(),
      partitions: startPartitions,
      formerTopics: [],
    }

    const over = new AbortController()
    const sending = Promise.all([
      sendAborted(cluster.kafka, scene.topics.source, over.signal),
      callRest(api.url, world.gate, over.signal),
      sendEvents(scene, world.gate, over.signal),
      sendUnreadable(scene, world.gate, over.signal),
    ])
    sending.catch(() => {})
    const counts = await disturb(world, seconds, onFault)
    over.abort()
    const [aborted, answered] = await sending
    await scene.caughtUp(180_000).catch(async (error: unknown) => {
      for (const role of world.consumers) onStuck(`${JSON.stringify(await role.status())}\n${role.log()}`)
      throw error
    })

    const { source, results, deadLetters } = scene.topics
    const [last, verdicts, letters] = await Promise.all(
      [source, results, deadLetters].map((topic) => readWithJava(cluster.kafka, topic, isOfRest)),
    )
    const topics = [...world.formerTopics, last!]
    const exactness = exactnessOf(topics, verdicts!, letters!)
    const rest = restExactnessOf(answered, topics, verdicts!)
    // With Redis the claims of ids are gone, and with the API what it knew of them.
    const mayDouble = Object.keys(counts).some((name) => name.startsWith('Redis')) && counts['API killed'] !== undefined
    const isRestExact = rest.missing + rest.stored + rest.differing + (mayDouble ? 0 : rest.doubled) === 0
    return {
      ...{ seed, seconds, brokers, faults: counts, aborted, ...exactness, rest },
      isExact: isExact(exactness) && isRestExact,
    }
  } finally {
    await cluster.stop()
  }
}

async function startReplicated(): Promise<Cluster<KafkaServers>> {
  const [kafka, redis] = await Promise.all([startThreeBrokers({ proxied: true }), startRedis()])
  return clusterOf({ kafka, redis })
}

/** One fault after the other, at most two at once; the topic is made anew once at least. Answers how often each came. */
async function disturb(
  world: World,
  seconds: number,
  onFault: (name: string) => void,
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {}
  const began = performance.now()
  const elapsed = (): number => (performance.now() - began) / 1000
  const running = new Map<string, Promise<void>>()
  while (elapsed() < seconds) {
    const isTurn = elapsed() > seconds / 2 && counts[topicRemade] === undefined
    const name = isTurn ? topicRemade : drawFault(world)
    const { touches = name, run } = faults[name]!
    // twice at once it would take from itself what it puts back
    if (running.has(touches)) {
      if (isTurn) await running.get(touches)
      continue
    }
    counts[name] = (counts[name] ?? 0) + 1
    onFault(name)
    const fault = run(world)
    const ended = fault.finally(() => running.delete(touches))
    ended.catch(() => {})
    running.set(touches, ended)
    await Promise.race([ended, delay(pauseMs)])
    // At most two at once: a process that is to be replaced must have come up.
    while (running.size > 1) await Promise.race(running.values())
  }
  await Promise.all(running.values())
  return counts
}
