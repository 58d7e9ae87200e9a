import { setTimeout as delay } from 'node:timers/promises'
import type { KafkaProducer } from '../../lib/kafka/producer.ts'
import { payment } from './payments.ts'

const tickMs = 5
/** After the sender itself was held up, what is due is more than a topic takes at once. */
const mostAtOnce = 1000

/**
 * Sends payments at a rate whatever becomes of them, with the time at which each was due as their timestamp. Returns how
 * many there were when `seconds` are over and all are acknowledged.
 */
export async function sendSteadily(
  producer: KafkaProducer,
  topic: string,
  { rate, seconds, from = 0 }: { readonly rate: number; readonly seconds: number; readonly from?: number },
): Promise<number> {
  const began = performance.now()
  const wallAt = Date.now() - began
  const total = rate * seconds
  const underway = new Set<Promise<void>>()
  let failure: unknown
  let sent = 0
  while (sent < total) {
    const due = Math.min(total, sent + mostAtOnce, Math.floor(((performance.now() - began) / 1000) * rate))
    const records = []
    for (; sent < due; sent++) {
      const event = payment(from + sent, Math.round(wallAt + began + (sent / rate) * 1000))
      records.push({ topic, key: event.userId, value: JSON.stringify(event) })
    }
    if (records.length > 0) {
      const sending = producer.send(records, { timeoutMs: 30_000 }).catch((error: unknown) => {
        failure = error
      })
      underway.add(sending)
      sending.finally(() => underway.delete(sending))
    }
    if (failure !== undefined) throw failure
    await delay(tickMs)
  }
  await Promise.all(underway)
  if (failure !== undefined) throw failure
  return total
}
