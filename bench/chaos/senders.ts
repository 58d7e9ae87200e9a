import { setTimeout as delay } from 'node:timers/promises'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { transactionalProducers } from '../../lib/kafka/transactional-producer.ts'
import { eventOf, recordOf, type Scene } from '../../test/integration/consumer/cluster.ts'
import type { Kafka } from '../../tools/servers/kafka/kafka.ts'

const silent = (): void => {}
const log = { debug: silent, info: silent, warn: silent, error: silent }

/** Two producers whose transactions overlap, never commit, and are aborted by their successors. Gives how many records. */
export async function sendAborted(kafka: Kafka, topic: string, signal: AbortSignal): Promise<number> {
  const settings: KafkaSettings = { brokers: kafka.brokers, clientId: 'chaos', log }
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

/** One unreadable record a second. */
export async function sendUnreadable(scene: Scene, signal: AbortSignal): Promise<void> {
  for (let i = 0; !signal.aborted; i++) {
    await scene.send([{ key: `user-${i % 60}`, value: `{"eventId": unreadable ${i}` }])
    await delay(1000, undefined, { signal }).catch(() => {})
  }
}

export interface RestAnswers {
  /** Ids that were answered with 200. */
  readonly accepted: readonly string[]
  /** Requests that were answered with anything else, or not at all. */
  readonly refused: number
}

/** About twenty events a second, each sent again under its id until it is answered with 200. */
export async function sendOverRest(url: string, signal: AbortSignal): Promise<RestAnswers> {
  const accepted: string[] = []
  let refused = 0
  for (let i = 0; !signal.aborted; i++) {
    const event = { ...eventOf(i), eventId: `rest-${i}` }
    for (let attempt = 0; attempt < 30; attempt++) {
      if (await isAccepted(url, event)) {
        accepted.push(event.eventId)
        break
      }
      refused++
      await delay(300)
    }
    await delay(50)
  }
  return { accepted, refused }
}

async function isAccepted(url: string, event: object): Promise<boolean> {
  try {
    const response = await fetch(`${url}/api/v1/detect`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(event),
      signal: AbortSignal.timeout(10_000),
    })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false
  }
}
