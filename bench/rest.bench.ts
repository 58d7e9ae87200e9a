import { startChild } from './rest/child.ts'
import type { LoadOrder, LoadReport } from './rest/load.ts'
import type { ServerKind } from './rest/server.ts'
import { spread } from './spread.ts'

/**
 * Requests a second of POST /api/v1/detect against those of a bare express handler that parses and answers the same
 * bodies. Servers and client are processes of their own; the servers take turns.
 */

const rounds = 7
const connections = 8
const seconds = 2

const load = startChild('./load.ts')

async function startServer(kind: ServerKind) {
  const child = startChild('./server.ts', kind)
  const port = await child.hear<number>()
  const measure = async () => {
    const cpu = await child.ask<number>({})
    const report = await load.ask<LoadReport>({ port, connections, seconds } satisfies LoadOrder)
    return { ...report, cpuPerRequest: ((await child.ask<number>({})) - cpu) / report.requests }
  }
  return { measure, kill: child.kill }
}

type Report = Awaited<ReturnType<Awaited<ReturnType<typeof startServer>>['measure']>>

function summary(reports: readonly Report[]) {
  const [p50, p95, p99] = [0, 1, 2].map((at) => spread(reports.map(({ latency }) => latency[at]!)).median)
  return {
    requestsPerSecond: spread(reports.map(({ requestsPerSecond }) => requestsPerSecond)),
    latencyMs: { p50, p95, p99 },
    cpuMicrosecondsPerRequest: spread(reports.map(({ cpuPerRequest }) => cpuPerRequest)),
    clientCpuShare: spread(reports.map(({ cpuShare }) => cpuShare)).max,
  }
}

const detect = await startServer('detect')
const bare = await startServer('express')
for (const server of [detect, bare, detect, bare]) await server.measure()
const reports: { detect: Report; bare: Report }[] = []
for (let round = 0; round < rounds; round++)
  reports.push({ detect: await detect.measure(), bare: await bare.measure() })
for (const child of [load, detect, bare]) child.kill()

console.log(
  JSON.stringify({
    bench: 'rest',
    connections,
    ratio: spread(reports.map(({ detect, bare }) => detect.requestsPerSecond / bare.requestsPerSecond)),
    detect: summary(reports.map(({ detect }) => detect)),
    baseline: 'bare express handler: express.json(), response.json()',
    bareExpress: summary(reports.map(({ bare }) => bare)),
  }),
)
