import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePorts, type ServerProcess, startServer, temporaryFolder } from '../../tools/servers/server.ts'

/** Logs nothing but what goes wrong. */
export const quiet = { debug: () => {}, info: () => {}, warn: console.error, error: console.error }

export interface Role {
  /** Seconds of processor time so far, all threads. */
  cpu(): number
  /** MiB of memory in RAM. */
  rss(): number
  status(): Promise<{ readonly events?: number }>
  /** The numbers of one metric by its labels as they are written. */
  metric(name: string): Promise<ReadonlyMap<string, number>>
  stop(): Promise<void>
}

export interface Deployment {
  readonly inference: Role
  readonly consumer: Role
  /** host:port of gRPC. */
  readonly grpc: string
  stop(): Promise<void>
}

export interface DeploymentOptions {
  readonly name: string
  readonly broker: string
  readonly redisUrl: string
  readonly topic: string
  readonly results: string
  readonly startFrom: 'Earliest' | 'Latest'
}

const launcher = join(import.meta.dirname, '../../bin/anomaly')
const folder = temporaryFolder('bench')
const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** A consumer and its inference server as processes of their own, with the default detectors; ready when this returns. */
export async function deploy(options: DeploymentOptions): Promise<Deployment> {
  const { name, broker, redisUrl, topic, results, startFrom } = options
  const file = join(folder, `${name}.yaml`)
  writeFileSync(
    file,
    `apiVersion: anomaly.com/v1alpha1
kind: AnomalyPipeline
metadata: { name: ${name} }
spec:
  source: { brokers: ["${broker}"], topic: ${topic}, startFrom: ${startFrom} }
  results: { topic: ${results}, deadLetterTopic: dead-letters }
`,
  )
  const [grpcPort, inferenceProbes, consumerProbes] = (await freePorts(3)) as [number, number, number]
  const grpc = `127.0.0.1:${grpcPort}`
  const common = ['-f', file, '--redis-url', redisUrl, '--log-level', 'warn']
  const inference = await startRole('inference', inferenceProbes, [
    ...common,
    ...['--port', String(grpcPort), '--drain-seconds', '0'],
  ])
  const consumer = await startRole('consumer', consumerProbes, [...common, '--inference', grpc])
  return {
    inference,
    consumer,
    grpc,
    stop: async () => {
      await consumer.stop()
      await inference.stop()
    },
  }
}

async function startRole(role: string, probes: number, args: readonly string[]): Promise<Role> {
  const at = `http://127.0.0.1:${probes}`
  const server: ServerProcess = await startServer(launcher, [role, ...args, '--probes-port', String(probes)], {
    log: join(folder, `${role}.log`),
    ready: async () => (await fetch(`${at}/readyz`)).ok,
  })
  return {
    cpu: () => cpuOf(server.pid),
    rss: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) / 1024,
    status: async () => (await fetch(`${at}/status`)).json() as Promise<{ events?: number }>,
    metric: async (name) => {
      const lines = (await (await fetch(`${at}/metrics`)).text()).split('\n')
      const found = lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      return new Map(
        found.map((line) => [line.slice(name.length, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
      )
    },
    stop: async () => void (await server.stop()),
  }
}

function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** What the Redis server itself tells. */
export function watchRedis(url: string) {
  const client = new Redis(url)
  return {
    cpu: async (): Promise<number> => {
      const info = await client.info('cpu')
      return ['used_cpu_sys', 'used_cpu_user'].reduce(
        (sum, name) => sum + Number(info.match(`${name}:([\\d.]+)`)![1]),
        0,
      )
    },
    /** Calls of each command since the last `reset`, those within scripts as well. */
    calls: async (): Promise<ReadonlyMap<string, number>> => {
      const info = await client.info('commandstats')
      return new Map(
        Array.from(info.matchAll(/cmdstat_([^:]+):calls=(\d+)/g), ([, name, calls]) => [name!, Number(calls)]),
      )
    },
    reset: () => client.config('RESETSTAT'),
    clear: () => client.flushall(),
    close: () => client.disconnect(),
  }
}
