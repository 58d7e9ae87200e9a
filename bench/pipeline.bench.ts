import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { openAdmin } from '../lib/kafka/admin.ts'
import { connectProducer } from '../lib/kafka/producer.ts'
import { startKafka } from '../tools/servers/kafka/kafka.ts'
import { startRedis } from '../tools/servers/redis.ts'
import type { LoopReport } from './kafka-produce/loop.ts'
import { type Deployment, deploy, quiet, watchRedis } from './pipeline/deployment.ts'
import { payment } from './pipeline/payments.ts'
import { spread } from './spread.ts'

/**
 * Events a second from topic to committed verdict: our consumer, inference and Redis with the default detectors, against
 * (a) kafkajs that only reads and parses, (b) kafkajs that reads, parses and produces a verdict of 440 bytes an event in
 * a transaction a batch, without any work, and (c) our own work done an event at a time. Every run is a fresh process
 * and a fresh group on the same topic; they take turns. Processor time is of all processes but the broker.
 * `EVENTS`, `PER_EVENT_EVENTS` and `ROUNDS` change the size.
 */

const events = Number(process.env.EVENTS ?? 300_000)
const perEventEvents = Number(process.env.PER_EVENT_EVENTS ?? 10_000)
const rounds = Number(process.env.ROUNDS ?? 5)
const partitions = 4
const idleSeconds = 20

const [kafka, server] = await Promise.all([startKafka(), startRedis()])
const broker = kafka.brokers[0]!
const redis = watchRedis(server.url)
const settings = { brokers: kafka.brokers, clientId: 'bench', log: quiet }
const admin = openAdmin(settings)
const topics = ['events', 'results', 'ours', 'dead-letters', 'unused']
await admin.createMissingTopics(topics.map((topic) => ({ topic, partitions })))
const producer = await connectProducer(settings)
const start = Date.now() - events
let bytes = 0
for (let from = 0; from < events; from += 1000) {
  const records = Array.from({ length: Math.min(1000, events - from) }, (_, i) => {
    const event = payment(from + i, start + from + i)
    return { topic: 'events', key: event.userId, value: JSON.stringify(event) }
  })
  for (const { value } of records) bytes += value.length
  await producer.send(records)
}
await producer.close()

let group = 0
async function loop(file: string, count: number, ...args: readonly string[]): Promise<LoopReport> {
  const child = fork(
    new URL(file, import.meta.url),
    [broker, 'events', 'results', `bench-${++group}`, String(count), ...args],
    { execArgv: ['--no-warnings'] },
  )
  const ended = once(child, 'exit').then(() => {
    throw new Error(`Cannot measure: ${file} ended`)
  })
  ended.catch(() => {})
  const [report] = (await Promise.race([once(child, 'message'), ended])) as [LoopReport]
  child.kill()
  return report
}

interface OurReport extends LoopReport {
  /** Processor time by process, µs an event. */
  readonly cpu: { readonly consumer: number; readonly inference: number; readonly redis: number }
  readonly lookupsSaved: number
  readonly redisCallsPerEvent: number
  readonly redisReadsPerBatch: number
  readonly redisWritesPerBatch: number
  readonly redisCalls: Readonly<Record<string, number>>
  readonly batches: number
}

const processes = ['consumer', 'inference', 'redis'] as const
async function cpuOf({ consumer, inference }: Deployment) {
  return { consumer: consumer.cpu(), inference: inference.cpu(), redis: await redis.cpu() }
}

/** From the first verdict that is seen to the last one. */
async function watch(deployment: Deployment): Promise<OurReport> {
  const { consumer } = deployment
  const progress = async () => ({
    at: performance.now(),
    events: (await consumer.status()).events ?? 0,
    cpu: await cpuOf(deployment),
  })
  let first = await progress()
  while (first.events === 0) {
    await delay(10)
    first = await progress()
  }
  let last = first
  while (last.events < events) {
    await delay(50)
    last = await progress()
  }
  const count = last.events - first.events
  const cpu = Object.fromEntries(
    processes.map((process) => [process, ((last.cpu[process] - first.cpu[process]) / count) * 1e6]),
  ) as OurReport['cpu']
  const calls = await redis.calls()
  const lookups = await consumer.metric('anomaly_state_lookups_total')
  const batches = (await consumer.metric('anomaly_batches_total')).get('') ?? 0
  const [hits, misses] = ['hit', 'miss'].map((outcome) => lookups.get(`{outcome="${outcome}"}`) ?? 0) as [
    number,
    number,
  ]
  // what the client sent: the rest of the table is what these scripts do within the server
  const sent = ['mget', 'evalsha', 'eval'].map((name) => calls.get(name) ?? 0)
  return {
    eventsPerSecond: count / ((last.at - first.at) / 1000),
    cpuMicrosecondsPerEvent: cpu.consumer + cpu.inference + cpu.redis,
    cpu,
    lookupsSaved: hits / (hits + misses),
    redisCallsPerEvent: sent.reduce((sum, calls) => sum + calls, 0) / events,
    redisReadsPerBatch: sent[0]! / batches,
    redisWritesPerBatch: (sent[1]! + sent[2]!) / batches,
    redisCalls: Object.fromEntries(['mget', 'evalsha', 'eval', 'set'].map((name) => [name, calls.get(name) ?? 0])),
    batches,
  }
}

let idleCpuPercent = Number.NaN
async function ours({ idle = false } = {}): Promise<OurReport> {
  await redis.clear()
  await redis.reset()
  const deployment = await deploy({
    name: `bench-${++group}`,
    broker,
    redisUrl: server.url,
    topic: 'events',
    results: 'ours',
    startFrom: 'Earliest',
  })
  const report = await watch(deployment)
  if (idle) {
    await delay(5000)
    const before = deployment.consumer.cpu()
    await delay(idleSeconds * 1000)
    idleCpuPercent = ((deployment.consumer.cpu() - before) / idleSeconds) * 100
  }
  await deployment.stop()
  return report
}

async function perEvent(): Promise<LoopReport> {
  const deployment = await deploy({
    name: `bench-${++group}`,
    broker,
    redisUrl: server.url,
    topic: 'unused',
    results: 'ours',
    startFrom: 'Latest',
  })
  const [inference, server0] = [deployment.inference.cpu(), await redis.cpu()]
  const report = await loop('./pipeline/per-event.ts', perEventEvents, deployment.grpc, server.url)
  const others = deployment.inference.cpu() - inference + (await redis.cpu()) - server0
  await deployment.stop()
  return { ...report, cpuMicrosecondsPerEvent: report.cpuMicrosecondsPerEvent + (others / perEventEvents) * 1e6 }
}

const runs: {
  readonly bare: LoopReport
  readonly stock: LoopReport
  readonly ours: OurReport
  readonly single: LoopReport
}[] = []
for (let round = 0; round < rounds; round++) {
  runs.push({
    bare: await loop('./pipeline/bare.ts', events),
    stock: await loop('./kafka-produce/stock.ts', events),
    ours: await ours({ idle: round === rounds - 1 }),
    single: await perEvent(),
  })
}

type Run = (typeof runs)[number]
const over = (numberOf: (run: Run) => number) => spread(runs.map(numberOf))
const summary = (name: keyof Run) => ({
  eventsPerSecond: over((run) => run[name].eventsPerSecond),
  cpuMicrosecondsPerEvent: over((run) => run[name].cpuMicrosecondsPerEvent),
})
console.log(
  JSON.stringify({
    bench: 'pipeline',
    ratio: over(({ ours, stock }) => ours.eventsPerSecond / stock.eventsPerSecond),
    cpuRatio: over(({ ours, stock }) => ours.cpuMicrosecondsPerEvent / stock.cpuMicrosecondsPerEvent),
    perEventRatio: over(({ ours, single }) => ours.eventsPerSecond / single.eventsPerSecond),
    ours: {
      ...summary('ours'),
      consumerCpu: over(({ ours }) => ours.cpu.consumer),
      inferenceCpu: over(({ ours }) => ours.cpu.inference),
      redisCpu: over(({ ours }) => ours.cpu.redis),
    },
    baseline: 'kafkajs: read, parse, produce 440 bytes an event in a transaction a batch',
    stock: summary('stock'),
    bare: summary('bare'),
    perEvent: summary('single'),
    lookupsSaved: over(({ ours }) => ours.lookupsSaved),
    redisCommandsPerEvent: over(({ ours }) => ours.redisCallsPerEvent),
    redisReadsPerBatch: over(({ ours }) => ours.redisReadsPerBatch),
    redisWritesPerBatch: over(({ ours }) => ours.redisWritesPerBatch),
    redisCalls: runs.at(-1)!.ours.redisCalls,
    batches: runs.at(-1)!.ours.batches,
    idleCpuPercent: Number(idleCpuPercent.toFixed(2)),
    events,
    bytesPerEvent: Math.round(bytes / events),
    rounds,
  }),
)
redis.close()
admin.close()
await kafka.stop()
await server.stop()
process.exit()
