import { setTimeout as delay } from 'node:timers/promises'
import { type KafkaAdmin, openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { connectProducer } from '../../lib/kafka/producer.ts'
import { readTopic } from '../../lib/kafka/read-topic.ts'
import { simulatePayments } from '../../workloads/simulation/simulate-payments.ts'
import { eventually } from '../harness/eventually.ts'

export interface Topics {
  readonly source: string
  readonly results: string
  readonly deadLetters: string
  readonly groupId: string
}

/** Simulated payments into a pipeline's topic, and the count of what came of them. */
export interface Traffic {
  /** Sends so many at once. */
  burst(count: number): Promise<void>
  /** Sends so many a second until `stop`. */
  start(perSecond: number): void
  stop(): Promise<void>
  /** Events that the group has committed. */
  processed(): Promise<number>
  /** Seconds from now until an event that is sent from now on is committed. */
  untilProcessing(timeoutMs?: number): Promise<number>
  /** Stops what is sent, waits until all is read, and holds that each record has exactly one verdict. Answers how many. */
  expectExact(): Promise<number>
  close(): Promise<void>
}

export const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, number) => total + number, 0)

export async function openTraffic(
  settings: KafkaSettings,
  { source, results, deadLetters, groupId }: Topics,
): Promise<Traffic> {
  const admin: KafkaAdmin = openAdmin(settings)
  let producer = await connectProducer(settings)
  const payments = simulatePayments({ seed: Date.now() % 2 ** 31, startTime: Date.now() - 86_400_000, users: 500 })
  const run = `e2e-${Date.now().toString(36)}`
  let count = 0
  let running: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined

  async function burst(size: number): Promise<void> {
    for (let left = size; left > 0; left -= 500) {
      const events = Array.from({ length: Math.min(500, left) }, () => ({
        ...payments.next().value!.event,
        eventId: `${run}-${count++}`,
        timestamp: Date.now(),
      }))
      const records = events.map((event) => ({ topic: source, key: event.userId, value: JSON.stringify(event) }))
      await eventually(async () => {
        try {
          await producer.send(records, { timeoutMs: 30_000 })
        } catch (error) {
          // Part of it may have arrived and comes twice then: the topic is what counts.
          await producer.close().catch(() => {})
          producer = await connectProducer(settings)
          throw error
        }
      }, 60_000)
    }
  }
  const processed = async (): Promise<number> =>
    sum(Array.from((await admin.committedOffsets(groupId, source)).values(), ({ offset }) => offset))
  const end = async (): Promise<number> =>
    sum(Array.from((await admin.topicOffsets(source)).values(), ({ high }) => high))

  async function idsOf(topic: string): Promise<Map<string, number>> {
    const ids = new Map<string, number>()
    await readTopic(
      settings,
      topic,
      ({ records }) => {
        for (const { value } of records) {
          const id = (JSON.parse(String(value)) as { eventId: string }).eventId
          ids.set(id, (ids.get(id) ?? 0) + 1)
        }
      },
      { signal: AbortSignal.timeout(120_000) },
    )
    return ids
  }

  const traffic: Traffic = {
    burst,
    start(perSecond) {
      const stop = new AbortController()
      const ended = (async () => {
        const began = performance.now()
        let sent = 0
        while (!stop.signal.aborted) {
          const due = Math.floor(((performance.now() - began) / 1000) * perSecond) - sent
          if (due > 0) await burst(due)
          sent += Math.max(0, due)
          await delay(100)
        }
      })()
      running = { stop, ended }
    },
    async stop() {
      running?.stop.abort()
      await running?.ended
      running = undefined
    },
    processed,
    async untilProcessing(timeoutMs = 120_000) {
      const began = performance.now()
      const from = await end()
      await eventually(async () => {
        const now = await processed()
        if (now <= from) {
          await delay(200)
          throw new Error(`no event after the ${from} of the beginning is committed: ${now}`)
        }
      }, timeoutMs)
      return (performance.now() - began) / 1000
    },
    async expectExact() {
      await traffic.stop()
      await eventually(async () => {
        const lag = sum((await admin.lag(groupId, source)).values())
        if (lag > 0) {
          await delay(300)
          throw new Error(`${lag} events are not read`)
        }
      }, 300_000)
      const [events, verdicts] = await Promise.all([idsOf(source), idsOf(results)])
      const dead = sum((await idsOf(deadLetters)).values())
      const without = [...events].filter(([id, times]) => (verdicts.get(id) ?? 0) < times)
      const twice = [...verdicts].filter(([id, times]) => times > (events.get(id) ?? 0))
      if (without.length > 0 || twice.length > 0 || dead > 0)
        throw new Error(
          `not exact: of ${sum(events.values())} events ${without.length} without a verdict (${without[0]?.[0] ?? ''}), ` +
            `${twice.length} with too many (${twice[0]?.[0] ?? ''}), ${dead} dead letters`,
        )
      return sum(events.values())
    },
    async close() {
      await traffic.stop()
      await producer.close()
      admin.close()
    },
  }
  return traffic
}
