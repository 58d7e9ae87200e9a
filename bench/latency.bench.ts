import { Kafka, logLevel } from 'kafkajs'
import { openAdmin } from '../lib/kafka/admin.ts'
import { connectProducer } from '../lib/kafka/producer.ts'
import { startKafka } from '../tools/servers/kafka/kafka.ts'
import { startRedis } from '../tools/servers/redis.ts'
import { deploy, quiet } from './pipeline/deployment.ts'
import { sendSteadily } from './pipeline/open-loop.ts'
import { quantile } from './spread.ts'

/**
 * Milliseconds from the time at which an event was due until a read_committed reader has its verdict, at a steady rate
 * that does not wait for answers. Sender and reader share this process; consumer and inference have theirs.
 * `SECONDS` changes how long each rate lasts; the first fifth of it is not counted.
 */

const seconds = Number(process.env.SECONDS ?? 20)
const rates = [1000, 10_000] as const
const partitions = 4

process.removeAllListeners('warning')
const [kafka, redis] = await Promise.all([startKafka(), startRedis()])
const settings = { brokers: kafka.brokers, clientId: 'bench', log: quiet }
const admin = openAdmin(settings)
await admin.createMissingTopics(['events', 'verdicts', 'dead-letters'].map((topic) => ({ topic, partitions })))
const deployment = await deploy({
  name: 'latency',
  broker: kafka.brokers[0]!,
  redisUrl: redis.url,
  topic: 'events',
  results: 'verdicts',
  startFrom: 'Earliest',
})

let countFrom = Number.POSITIVE_INFINITY
let latencies: number[] = []
let received = 0
let arrived: (() => void) | undefined
const reader = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).consumer({
  groupId: 'reader',
  minBytes: 1,
})
await reader.connect()
await reader.subscribe({ topic: 'verdicts', fromBeginning: true })
await reader.run({
  autoCommit: false,
  partitionsConsumedConcurrently: partitions,
  eachBatch: async ({ batch }) => {
    const now = Date.now()
    for (const { value } of batch.messages) {
      const { timestamp } = JSON.parse(value!.toString()) as { timestamp: number }
      if (timestamp >= countFrom) latencies.push(now - timestamp)
    }
    received += batch.messages.length
    arrived?.()
  },
})

const producer = await connectProducer(settings)
let sent = 0
async function measure(rate: number, length: number) {
  latencies = []
  countFrom = Date.now() + length * 200
  const cpu = deployment.consumer.cpu() + deployment.inference.cpu()
  sent += await sendSteadily(producer, 'events', { rate, seconds: length, from: sent })
  while (received < sent)
    await new Promise<void>((resolve) => {
      arrived = resolve
    })
  const used = deployment.consumer.cpu() + deployment.inference.cpu() - cpu
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => quantile(latencies, share))
  return { p50, p95, p99, cpuMicrosecondsPerEvent: Number(((used * 1e6) / (rate * length)).toPrecision(3)) }
}

// broker, compilers and model warm
await measure(5000, 5)
const results: Record<string, Awaited<ReturnType<typeof measure>>> = {}
for (const rate of rates) results[`at${rate}`] = await measure(rate, seconds)
console.log(JSON.stringify({ bench: 'latency', unit: 'ms', ...results, seconds }))

await producer.close()
await reader.disconnect()
admin.close()
await deployment.stop()
await kafka.stop()
await redis.stop()
process.exit()
