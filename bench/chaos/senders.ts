import { setTimeout as delay } from 'node:timers/promises'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { transactionalProducers } from '../../lib/kafka/transactional-producer.ts'
import { eventOf, recordOf, type Scene } from '../../test/integration/consumer/cluster.ts'
import type { KafkaServers } from '../../tools/servers/kafka/kafka.ts'
import type { Gate } from './gate.ts'
import { noLog } from './no-log.ts'

/** Two producers whose transactions overlap, never commit, and are aborted by their successors. Gives how many records. */
export async function sendAborted(kafka: KafkaServers, topic: string, signal: AbortSignal): Promise<number> {
  const settings: KafkaSettings = { brokers: kafka.brokers, clientId: 'chaos', log: noLog }
  const open = transactionalProducers(settings, { timeoutMs: 10_000 })
  let sent = 0
  const abortEach = async (id: string, waitMs: number): Promise<void> => {
    while (!signal.aborted) {
      try {
        const producer = await open(id)
        const transaction = await producer.begin()
        const events = Array.from({ length: 5 }, (_, i) => ({ ...eventOf(i), eventId: `${id}-${sent + i}` }))
        await transaction.send(events.map((event) => ({ topic, ...recordOf(event) })))
        sent += events.length
        await delay(waitMs, undefined, { signal }).catch(() => {})
        producer.discard()
      } catch {
        await delay(500)
      }
    }
    // the last one is aborted too
    for (let attempt = 0; attempt < 20; attempt++) {
      try {
        ;(await open(id)).discard()
        return
      } catch {
        await delay(500)
      }
    }
  }
  await Promise.all([abortEach('aborted-slowly', 1700), abortEach('aborted-soon', 450)])
  return sent
}

/** About a thousand events a second. */
export async function sendEvents(scene: Scene, gate: Gate, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await gate.pass(() => scene.feed(50))
    await delay(50)
  }
}

/** One unreadable record a second. */
export async function sendUnreadable(scene: Scene, gate: Gate, signal: AbortSignal): Promise<void> {
  for (let i = 0; !signal.aborted; i++) {
    await gate.pass(() => scene.send([{ key: `user-${i % 60}`, value: `{"eventId": unreadable ${i}` }]))
    await delay(1000, undefined, { signal }).catch(() => {})
  }
}
