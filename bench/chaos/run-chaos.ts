import { setTimeout as delay } from 'node:timers/promises'
import { startCluster } from '../../test/integration/consumer/cluster.ts'
import { freePorts } from '../../tools/servers/server.ts'
import { type Exactness, exactnessOf } from './exactness.ts'
import { drawFault, faults, type World } from './faults.ts'
import { readWithJava } from './java-reader.ts'
import { randomOf } from './random.ts'
import { sendAborted, sendOverRest, sendUnreadable } from './senders.ts'

export interface ChaosResult extends Exactness {
  readonly seed: number
  readonly seconds: number
  /** How often each fault came. */
  readonly faults: Readonly<Record<string, number>>
  /** Records of transactions that were aborted: nobody may judge them. */
  readonly aborted: number
  /** Events that the REST door answered with 200; each must be in the topic once. */
  readonly rest: {
    readonly accepted: number
    readonly refused: number
    readonly missing: number
    readonly doubled: number
  }
}

export interface ChaosOptions {
  readonly seed: number
  readonly seconds: number
  readonly onFault?: ((name: string) => void) | undefined
}

const startPartitions = 4
/** Two faults overlap where one lasts longer than this. */
const pauseMs = 2000

/** Everything runs for so long under faults; then what was published is compared with what was sent. */
export async function runChaos({ seed, seconds, onFault }: ChaosOptions): Promise<ChaosResult> {
  const random = randomOf(seed)
  const cluster = await startCluster()
  try {
    const scene = await cluster.scene({ partitions: startPartitions, proxied: true })
    const [port] = (await freePorts(1)) as [number]
    const inferenceAddress = { host: '127.0.0.1', port }
    const inference = await scene.inference(inferenceAddress)
    const open = () => scene.consumer({ inference: inference.address, isAlone: false })
    const consumers = await Promise.all([open(), open()])
    const api = await scene.api({ inference: inference.address })
    const world: World = { cluster, scene, inferenceAddress, consumers, inference, partitions: startPartitions, random }

    const load = scene.load()
    const over = new AbortController()
    const aborting = sendAborted(cluster.kafka, scene.topics.source, over.signal)
    const unreadable = sendUnreadable(scene, over.signal)
    const answered = sendOverRest(api.url, over.signal)

    const counts: Record<string, number> = {}
    const end = performance.now() + seconds * 1000
    const running = new Map<string, Promise<void>>()
    while (performance.now() < end) {
      const name = drawFault(random)
      // twice at once it would take from itself what it puts back
      if (running.has(name)) continue
      counts[name] = (counts[name] ?? 0) + 1
      onFault?.(name)
      const fault = faults[name]!.run(world)
      const ended = fault.finally(() => running.delete(name))
      ended.catch(() => {})
      running.set(name, ended)
      await Promise.race([ended, delay(pauseMs)])
      // At most two at once: a process that is to be replaced must have come up.
      while (running.size > 1) await Promise.race(running.values())
    }
    await Promise.all(running.values())
    over.abort()
    const aborted = await aborting
    await unreadable
    const { accepted, refused } = await answered
    await load.stop()
    await scene.caughtUp(180_000)

    const { source, results, deadLetters } = scene.topics
    const events = await readWithJava(cluster.kafka, source)
    const verdicts = await readWithJava(cluster.kafka, results)
    const letters = await readWithJava(cluster.kafka, deadLetters)
    const times = new Map<string, number>()
    for (const { value } of events) {
      const id = /"eventId":"(rest-[^"]+)"/.exec(value)?.[1]
      if (id !== undefined) times.set(id, (times.get(id) ?? 0) + 1)
    }
    const rest = {
      accepted: accepted.length,
      refused,
      missing: accepted.filter((id) => !times.has(id)).length,
      doubled: [...times.values()].reduce((sum, n) => sum + n - 1, 0),
    }
    return { seed, seconds, faults: counts, aborted, ...exactnessOf(events, verdicts, letters), rest }
  } finally {
    await cluster.stop()
  }
}
