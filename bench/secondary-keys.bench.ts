import { parsePipeline } from '../lib/pipeline/parse-pipeline.ts'
import { startRedis } from '../tools/servers/redis.ts'
import { FeatureSchema } from '../workloads/detection/feature-schema.ts'
import { KeptState } from '../workloads/judging/kept-state.ts'
import { Processor } from '../workloads/judging/processor.ts'
import type { Scorer } from '../workloads/scoring/scorer.ts'
import { createRedisState } from '../workloads/state/redis.ts'
import { quiet, watchRedis } from './pipeline/deployment.ts'
import { payment } from './pipeline/payments.ts'
import { spread } from './spread.ts'

/**
 * Processor time an event, from bytes to the bytes of its verdict and its state in Redis, of a pipeline with a secondary
 * key of 10,000 values, 1 % of which have a confirmed anomaly, beside the same one without; profiles and feedback, no
 * models, no Kafka. Pairs take turns in one process. `EVENTS`, `TERMINALS` and `ROUNDS` change the size.
 *
 * What is written depends on how often a value comes in the 5 s between two writes, so on how fast the machine is.
 */

const events = Number(process.env.EVENTS ?? 100_000)
const rounds = Number(process.env.ROUNDS ?? 7)
const partitions = 4
const batchSize = 500
const terminals = Number(process.env.TERMINALS ?? 10_000)

const server = await startRedis()
const redis = watchRedis(server.url)
const names = Object.keys(payment(0, 0).features)
const start = 1_700_000_000_000
const values = Array.from({ length: events }, (_, i) =>
  Buffer.from(JSON.stringify({ ...payment(i, start + 10 * i), terminalId: `terminal-${(i * 7919) % terminals}` })),
)
const scorer = {} as Scorer

async function run(secondaryKeys: readonly string[] | undefined) {
  await redis.clear()
  const pipeline = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'bench' },
    spec: {
      source: { brokers: ['localhost:9092'] },
      event: { secondaryKeys },
      detection: { detectors: [{ name: 'profile', profile: {} }], feedback: {} },
    },
  })
  const store = createRedisState({
    url: server.url,
    encoding: 1,
    profileTtlSeconds: 3600,
    featureTtlSeconds: 300,
    maxFeatures: 1000,
    log: quiet,
  })
  await store.start!(new AbortController().signal)
  const schema = new FeatureSchema(names)
  const kept = new KeptState({ pipeline, store, schema, log: quiet, wall: Date.now, onFenced: () => {} })
  const processor = new Processor({
    pipeline,
    schema,
    scorer,
    partitions: kept,
    extendSchema: () => {},
    originOf: () => ({ id: '', source: 'events', recordKey: undefined, arrival: start, latest: Number.MAX_VALUE }),
    asBytes: true,
  })
  for (let partition = 0; partition < partitions; partition++) await processor.assigned(partition)
  for (let partition = 0; partition < partitions; partition++) {
    for (let i = 0; i < terminals / 100 / partitions; i++) {
      const of = { eventId: `said-${i}`, key: `user-${i}`, secondaryKeys: [`terminal-${i * partitions + partition}`] }
      await kept.begin(partition, [of])
      kept.of(partition)!.learn({ ...of, label: 'Confirmed', time: start, anomalyScore: 0.99, reasons: [] })
      kept.committed(partition, new Map())
    }
  }
  await redis.reset()
  const serverCpu = await redis.cpu()
  const [cpu, began] = [process.cpuUsage(), performance.now()]
  for (let from = 0; from < events; from += batchSize) {
    const partition = (from / batchSize) % partitions
    const records = values
      .slice(from, from + batchSize)
      .map((value, i) => ({ key: null, value, offset: from + i, timestamp: start, headers: {} }))
    await processor.batch({ topic: 'events', partition, records })
    processor.committed(partition)
  }
  await processor.releasing(Array.from({ length: partitions }, (_, partition) => partition))
  const { user, system } = process.cpuUsage(cpu)
  const calls = await redis.calls()
  const report = {
    eventsPerSecond: (1000 * events) / (performance.now() - began),
    microseconds: (user + system) / events,
    redisMicroseconds: ((await redis.cpu()) - serverCpu) * (1e6 / events),
    readsOfValues: (calls.get('hgetall') ?? 0) / events,
  }
  for (let partition = 0; partition < partitions; partition++) processor.revoked(partition)
  await store.stop!()
  return report
}

await run(undefined)
await run(['terminalId'])
const runs: { readonly without: Awaited<ReturnType<typeof run>>; readonly with: Awaited<ReturnType<typeof run>> }[] = []
for (let round = 0; round < rounds; round++)
  runs.push({ without: await run(undefined), with: await run(['terminalId']) })
const over = (numberOf: (pair: (typeof runs)[number]) => number) => spread(runs.map(numberOf))
console.log(
  JSON.stringify({
    bench: 'secondary-keys',
    ratio: over((pair) => pair.with.microseconds / pair.without.microseconds),
    moreMicrosecondsPerEvent: over((pair) => pair.with.microseconds - pair.without.microseconds),
    moreRedisMicrosecondsPerEvent: over((pair) => pair.with.redisMicroseconds - pair.without.redisMicroseconds),
    baseline: 'the same pipeline without event.secondaryKeys',
    without: over((pair) => pair.without.microseconds),
    withOne: over((pair) => pair.with.microseconds),
    redisWithout: over((pair) => pair.without.redisMicroseconds),
    redisWithOne: over((pair) => pair.with.redisMicroseconds),
    readsOfValuesPerEvent: over((pair) => pair.with.readsOfValues),
    eventsPerSecond: over((pair) => pair.with.eventsPerSecond),
    events,
    terminals,
    rounds,
  }),
)
redis.close()
await server.stop()
process.exit()
