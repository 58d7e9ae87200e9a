import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { openAdmin } from '../lib/kafka/admin.ts'
import { connectProducer } from '../lib/kafka/producer.ts'
import { startKafka } from '../tools/servers/kafka/kafka.ts'
import { startRedis } from '../tools/servers/redis.ts'
import { deploy, quiet } from './pipeline/deployment.ts'
import { sendSteadily } from './pipeline/open-loop.ts'
import { quantile } from './spread.ts'

/**
 * The pipeline under a steady load, `--minutes 10`, `--rate 2000`: memory of each role by twelfths of the time, and
 * whether from the third on all of their medians are within 5 % of that one; the two before are warm-up. What grows is
 * told apart: JavaScript's heap, buffers that belong to it, and the rest, which is the allocator's, code and threads.
 * After each twelfth a line says what its medians were.
 */

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, rate: { type: 'string', default: '2000' } },
})
const [minutes, rate] = [Number(values.minutes), Number(values.rate)]
const seconds = minutes * 60
const everySeconds = Math.min(5, seconds / 30)
const partitions = 4
/** Of the time; the first ones are warm-up. */
const [parts, warmUp] = [12, 2]

const [kafka, redis] = await Promise.all([startKafka(), startRedis()])
const settings = { brokers: kafka.brokers, clientId: 'soak', log: quiet }
const admin = openAdmin(settings)
await admin.createMissingTopics(['events', 'verdicts', 'dead-letters'].map((topic) => ({ topic, partitions })))
const deployment = await deploy({
  name: 'soak',
  broker: kafka.brokers[0]!,
  redisUrl: redis.url,
  topic: 'events',
  results: 'verdicts',
  startFrom: 'Earliest',
})
const producer = await connectProducer(settings)
const over = new AbortController()
const roles = ['consumer', 'inference'] as const
/** MiB: in RAM; of it the JavaScript heap, what belongs to its objects outside of it, and the rest. */
const kinds = ['rss', 'heap', 'external', 'rest'] as const
type Sample = Readonly<Record<(typeof kinds)[number], number>>
const samples = { consumer: [] as Sample[], inference: [] as Sample[] }
async function sampleOf(role: (typeof roles)[number]): Promise<Sample> {
  const mebibytes = async (name: string) => ((await deployment[role].metric(name)).get('') ?? 0) / 2 ** 20
  const [heap, external] = [
    await mebibytes('nodejs_heap_size_total_bytes'),
    await mebibytes('nodejs_external_memory_bytes'),
  ]
  const rss = deployment[role].rss()
  return { rss, heap, external, rest: rss - heap - external }
}
async function sample(): Promise<void> {
  let told = 0
  while (!over.signal.aborted) {
    await delay(everySeconds * 1000, undefined, { signal: over.signal }).catch(() => {})
    for (const role of roles) samples[role].push(await sampleOf(role))
    if (performance.now() - began < ((told + 1) * seconds * 1000) / parts) continue
    told++
    const of = (role: (typeof roles)[number]) =>
      `${role} ${JSON.stringify(rounded(partOf(samples[role], told - 1, told)))}`
    console.error(`${((told * minutes) / parts).toFixed(1)} min: ${roles.map(of).join(', ')}`)
  }
}
const began = performance.now()
const sampling = sample()
const events = await sendSteadily(producer, 'events', { rate, seconds })
over.abort()
await sampling

function medianOf(of: readonly Sample[], kind: keyof Sample): number {
  const values = of.map((one) => one[kind])
  return quantile(values, 0.5)
}
function rounded(of: readonly Sample[]): Partial<Sample> {
  return Object.fromEntries(kinds.map((kind) => [kind, Math.round(medianOf(of, kind))]))
}
/** @param parts how many of them there are so far */
function partOf(of: readonly Sample[], number: number, parts: number): readonly Sample[] {
  return of.slice((number * of.length) / parts, ((number + 1) * of.length) / parts)
}
function memoryOf(of: readonly Sample[]) {
  const medians = Array.from({ length: parts }, (_, number) => medianOf(partOf(of, number, parts), 'rss'))
  const [first, ...later] = medians.slice(warmUp) as [number, ...number[]]
  const changes = later.map((median) => Number((100 * (median / first - 1)).toFixed(1)))
  return {
    mebibytes: medians.map(Math.round),
    most: Math.round(Math.max(...of.map(({ rss }) => rss))),
    changePercent: { lowest: Math.min(...changes), highest: Math.max(...changes) },
    isFlat: changes.every((change) => Math.abs(change) <= 5),
  }
}
const judged = (await deployment.consumer.status()).events ?? 0
const memory = { consumer: memoryOf(samples.consumer), inference: memoryOf(samples.inference) }
console.log(JSON.stringify({ bench: 'soak', minutes, rate, events, judged, ...memory }))
await producer.close()
admin.close()
await deployment.stop()
await kafka.stop()
await redis.stop()
process.exit(memory.consumer.isFlat && memory.inference.isFlat ? 0 : 1)
