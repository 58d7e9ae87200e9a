import { fork } from 'node:child_process'
import { once } from 'node:events'
import { openAdmin } from '../lib/kafka/admin.ts'
import { connectProducer } from '../lib/kafka/producer.ts'
import { startKafka } from '../tools/servers/kafka/kafka.ts'
import type { LoopReport } from './kafka-produce/loop.ts'

/**
 * Consume, parse and produce one 440-byte verdict an event, exactly once: our loop against stock kafkajs, processes of
 * their own that take turns on the same topic of 378-byte events. `EVENTS` and `ROUNDS` change the size.
 */

const events = Number(process.env.EVENTS ?? 200_000)
const rounds = Number(process.env.ROUNDS ?? 5)
const partitions = 4

const kafka = await startKafka()
const settings = {
  brokers: kafka.brokers,
  clientId: 'bench',
  log: { debug: () => {}, info: () => {}, warn: console.error, error: console.error },
}
const admin = openAdmin(settings)
await admin.createMissingTopics(['events', 'results'].map((topic) => ({ topic, partitions })))
admin.close()
const producer = await connectProducer(settings)
for (let from = 0; from < events; from += 1000) {
  await producer.send(
    Array.from({ length: Math.min(1000, events - from) }, (_, i) => {
      const userId = `user-${(from + i) % 10_000}`
      const event = {
        eventId: `event-${from + i}`,
        timestamp: 1_763_836_800 + i,
        userId,
        value: 42.5,
        features: { amount: i },
      }
      return {
        topic: 'events',
        key: userId,
        value: `${JSON.stringify(event).slice(0, -1)},"pad":"`.padEnd(376, 'x').concat('"}'),
      }
    }),
  )
}
await producer.close()

const loops = {
  stock: new URL('./kafka-produce/stock.ts', import.meta.url),
  ours: new URL('./kafka-produce/exactly-once.ts', import.meta.url),
}
let group = 0
async function measure(loop: keyof typeof loops): Promise<LoopReport> {
  const child = fork(loops[loop], [kafka.brokers[0]!, 'events', 'results', `bench-${++group}`, String(events)], {
    execArgv: ['--no-warnings'],
  })
  const ended = once(child, 'exit').then(() => {
    throw new Error(`Cannot measure: the ${loop} loop ended`)
  })
  ended.catch(() => {})
  const [report] = (await Promise.race([once(child, 'message'), ended])) as [LoopReport]
  return report
}

function spread(numbers: readonly number[]) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const [min, median, max] = [0, sorted.length >> 1, sorted.length - 1].map((i) => Number(sorted[i]!.toPrecision(3)))
  return { min, median, max }
}

await measure('ours')
const runs: { readonly stock: LoopReport; readonly ours: LoopReport }[] = []
for (let round = 0; round < rounds; round++) {
  runs.push({ stock: await measure('stock'), ours: await measure('ours') })
}
const summary = (reports: readonly LoopReport[]) => ({
  eventsPerSecond: spread(reports.map(({ eventsPerSecond }) => eventsPerSecond)),
  cpuMicrosecondsPerEvent: spread(reports.map(({ cpuMicrosecondsPerEvent }) => cpuMicrosecondsPerEvent)),
})
console.log(
  JSON.stringify({
    bench: 'kafka-produce',
    ratio: spread(runs.map(({ stock, ours }) => ours.eventsPerSecond / stock.eventsPerSecond)),
    cpuRatio: spread(runs.map(({ stock, ours }) => ours.cpuMicrosecondsPerEvent / stock.cpuMicrosecondsPerEvent)),
    ours: summary(runs.map(({ ours }) => ours)),
    stock: summary(runs.map(({ stock }) => stock)),
    events,
    rounds,
  }),
)
await kafka.stop()
process.exit()
