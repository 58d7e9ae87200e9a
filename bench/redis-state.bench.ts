import { Redis } from 'ioredis'
import { startRedis } from '../tools/servers/redis.ts'
import { createRedisState } from '../workloads/state/redis.ts'

/**
 * Keys a second through the state store, a batch of 500 keys written and read back, against a SETEX and a GET a key that
 * leave together in one tick; the same server, payloads and process, taking turns.
 */

const rounds = 7
const batches = 40
const keysPerBatch = 500
const payloadBytes = 300

const redis = await startRedis()
const silent = () => {}
const store = createRedisState({
  url: redis.url,
  encoding: 1,
  profileTtlSeconds: 3600,
  featureTtlSeconds: 300,
  maxFeatures: 1000,
  log: { debug: silent, info: silent, warn: console.error, error: console.error },
})
await store.start!(new AbortController().signal)
const { epoch } = await store.partitions.take(0)
const client = new Redis(redis.url)

const payload = new Uint8Array(payloadBytes).fill(200)
const keysOf = (batch: number) => Array.from({ length: keysPerBatch }, (_, i) => `user-${batch * keysPerBatch + i}`)

async function batched(batch: number): Promise<number> {
  const keys = keysOf(batch)
  await store.partitions.flush(0, epoch, { keys: new Map(keys.map((key) => [key, payload])), partition: payload })
  return (await store.partitions.loadKeys(0, keys)).filter((found) => found?.length === payloadBytes).length
}

async function single(batch: number): Promise<number> {
  const names = keysOf(batch).map((key) => `single:0:${key}`)
  await Promise.all(names.map((name) => client.setex(name, 3600, Buffer.from(payload))))
  const found = await Promise.all(names.map((name) => client.getBuffer(name)))
  return found.filter((bytes) => bytes?.length === payloadBytes).length
}

/** Seconds of CPU that the server has used. */
async function serverCpu(): Promise<number> {
  const info = await client.info('cpu')
  return ['used_cpu_sys', 'used_cpu_user'].reduce((sum, name) => sum + Number(info.match(`${name}:([\\d.]+)`)![1]), 0)
}

async function measure(way: (batch: number) => Promise<number>) {
  const [cpu, server, began] = [process.cpuUsage(), await serverCpu(), performance.now()]
  for (let batch = 0; batch < batches; batch++)
    if ((await way(batch)) !== keysPerBatch) throw new Error('Cannot use this run: not all keys came back')
  const keys = batches * keysPerBatch
  const { user, system } = process.cpuUsage(cpu)
  return {
    keysPerSecond: keys / ((performance.now() - began) / 1000),
    clientMicroseconds: (user + system) / keys,
    serverMicroseconds: ((await serverCpu()) - server) * (1e6 / keys),
  }
}

function spread(numbers: readonly number[]) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const [min, median, max] = [0, sorted.length >> 1, sorted.length - 1].map((i) => Number(sorted[i]!.toPrecision(3)))
  return { min, median, max }
}

type Report = Awaited<ReturnType<typeof measure>>
const summary = (reports: readonly Report[]) => ({
  keysPerSecond: spread(reports.map(({ keysPerSecond }) => keysPerSecond)),
  clientMicrosecondsPerKey: spread(reports.map(({ clientMicroseconds }) => clientMicroseconds)),
  serverMicrosecondsPerKey: spread(reports.map(({ serverMicroseconds }) => serverMicroseconds)),
})

await measure(batched)
await measure(single)
const runs: { readonly batched: Report; readonly single: Report }[] = []
for (let round = 0; round < rounds; round++)
  runs.push({ batched: await measure(batched), single: await measure(single) })
console.log(
  JSON.stringify({
    bench: 'redis-state',
    ratio: spread(runs.map(({ batched, single }) => batched.keysPerSecond / single.keysPerSecond)),
    batched: summary(runs.map(({ batched }) => batched)),
    baseline: 'SETEX and GET a key, pipelined',
    single: summary(runs.map(({ single }) => single)),
    keysPerBatch,
    payloadBytes,
    rounds,
  }),
)
client.disconnect()
await store.stop!()
await redis.stop()
