import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openAdmin } from '../lib/kafka/admin.ts'
import { eventually } from '../test/harness/eventually.ts'
import { startKafka } from '../tools/servers/kafka/kafka.ts'
import { startRedis } from '../tools/servers/redis.ts'
import { freePorts, type ServerProcess, startServer, temporaryFolder } from '../tools/servers/server.ts'
import { startChild } from './rest/child.ts'
import type { LoadOrder, LoadReport } from './rest/load.ts'
import { spread } from './spread.ts'

/**
 * Requests a second of `anomaly api` with all that is behind it (state in Redis, a fitted model at the inference
 * service, each event sent on and acknowledged by Kafka) against those of a bare express handler that parses and answers
 * the same bodies, and events a second of its batch endpoint against its single one. All are processes of their own on
 * this machine and take turns. `ROUNDS`, `SECONDS` and `CONNECTIONS` change the length and the load.
 */

const rounds = Number(process.env.ROUNDS ?? 5)
const seconds = Number(process.env.SECONDS ?? 3)
const connections = Number(process.env.CONNECTIONS ?? 64)
const batch = 500
const batchConnections = 4
const warmUpSeconds = 5

const quiet = { debug: () => {}, info: () => {}, warn: console.error, error: console.error }
const folder = temporaryFolder('bench')
const [kafka, redis] = await Promise.all([startKafka(), startRedis()])
const [grpcPort, grpcProbes, apiPort, apiProbes, consumerProbes] = (await freePorts(5)) as [
  number,
  number,
  number,
  number,
  number,
]

const file = join(folder, 'pipeline.yaml')
const document = {
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'bench' },
  spec: { source: { brokers: kafka.brokers, startFrom: 'Earliest' } },
}
writeFileSync(file, JSON.stringify(document))
const key = join(folder, 'signing.key')
writeFileSync(key, 'the signing key of the benchmark')

function start(role: string, probes: number, ...args: string[]): Promise<ServerProcess> {
  const bin = join(import.meta.dirname, '../bin/anomaly.ts')
  const common = ['-f', file, '--redis-url', redis.url, '--log-level', 'warn', '--probes-port', String(probes)]
  return startServer(process.execPath, [bin, role, ...common, ...args], {
    log: join(folder, `${role}.log`),
    ready: async () => (await fetch(`http://127.0.0.1:${probes}/readyz`)).ok,
  })
}

const address = `127.0.0.1:${grpcPort}`
const settings = { brokers: kafka.brokers, clientId: 'bench', log: quiet }
const admin = openAdmin(settings)
await admin.createMissingTopics(
  ['anomaly-events', 'bench-verdicts', 'bench-dead-letters'].map((topic) => ({ topic, partitions: 12 })),
)
const inference = await start('inference', grpcProbes, '--port', String(grpcPort), '--drain-seconds', '0')
const consumer = await start('consumer', consumerProbes, '--inference', address, '--signing-key-file', key)
const api = await start(
  'api',
  apiProbes,
  ...['--port', String(apiPort), '--inference', address, '--signing-key-file', key, '--drain-seconds', '0'],
)
const bare = startChild('./server.ts', 'express')
const barePort = await bare.hear<number>()
const load = startChild('./load.ts')
const measure = async (order: Omit<LoadOrder, 'seconds'>, forSeconds = seconds) => {
  const cpu = cpuSeconds()
  const report = await load.ask<LoadReport>({ ...order, seconds: forSeconds } satisfies LoadOrder)
  return { ...report, apiCpuMicroseconds: ((cpuSeconds() - cpu) * 1e6) / report.requests }
}

function cpuSeconds(): number {
  const stat = readFileSync(`/proc/${api.pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

const single = { port: apiPort, connections }
const batches = { port: apiPort, connections: batchConnections, batch }
const express = { port: barePort, connections }
type Report = Awaited<ReturnType<typeof measure>>

// Until the model is fitted and the consumer has stored what it learnt of the keys; then the consumer leaves the machine to the API.
for (const order of [single, batches, express, single]) await measure(order, warmUpSeconds)
await eventually(async () => {
  const lag = await admin.lag('anomaly-default-bench', 'anomaly-events')
  if ([...lag.values()].some((waiting) => waiting > 0)) throw new Error('the consumer has not read all')
}, 120_000)
await consumer.stop()

const reports: { readonly single: Report; readonly batches: Report; readonly express: Report }[] = []
for (let round = 0; round < rounds; round++)
  reports.push({
    single: await measure(single),
    express: await measure(express),
    batches: await measure(batches),
  })
const { modelVersion } = (await (await fetch(`http://127.0.0.1:${apiProbes}/status`)).json()) as {
  modelVersion: string
}

load.kill()
bare.kill()
admin.close()
await api.stop()
await inference.stop()
await Promise.all([kafka.stop(), redis.stop()])

function summary(of: readonly Report[], eventsPerRequest = 1) {
  const [p50, p95, p99] = [0, 1, 2].map((at) => spread(of.map(({ latency }) => latency[at]!)).median)
  return {
    requestsPerSecond: spread(of.map(({ requestsPerSecond }) => requestsPerSecond)),
    eventsPerSecond: spread(of.map(({ requestsPerSecond }) => requestsPerSecond * eventsPerRequest)),
    latencyMs: { p50, p95, p99 },
    clientCpuShare: spread(of.map(({ cpuShare }) => cpuShare)).max,
  }
}

const cpuOf = (of: readonly Report[], eventsPerRequest = 1) =>
  spread(of.map(({ apiCpuMicroseconds }) => apiCpuMicroseconds / eventsPerRequest))

console.log(
  JSON.stringify({
    bench: 'rest-distributed',
    connections,
    modelVersion,
    ratio: spread(reports.map((of) => of.single.requestsPerSecond / of.express.requestsPerSecond)),
    batchRatio: spread(reports.map((of) => (of.batches.requestsPerSecond * batch) / of.single.requestsPerSecond)),
    detect: {
      ...summary(reports.map(({ single }) => single)),
      apiCpuMicrosecondsPerEvent: cpuOf(reports.map(({ single }) => single)),
    },
    batch: {
      events: batch,
      connections: batchConnections,
      ...summary(
        reports.map(({ batches }) => batches),
        batch,
      ),
      apiCpuMicrosecondsPerEvent: cpuOf(
        reports.map(({ batches }) => batches),
        batch,
      ),
    },
    baseline: 'bare express handler: express.json(), response.json()',
    bareExpress: summary(reports.map(({ express }) => express)),
  }),
)
process.exit(0)
