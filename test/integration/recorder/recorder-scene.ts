import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openAdmin } from '../../../lib/kafka/admin.ts'
import { connectProducer } from '../../../lib/kafka/producer.ts'
import type { OutgoingRecord } from '../../../lib/kafka/records.ts'
import { createLogger } from '../../../lib/log.ts'
import type { Kafka } from '../../../tools/servers/kafka/kafka.ts'
import type { Postgres } from '../../../tools/servers/postgres.ts'
import { freePorts, type ServerProcess, startServer, temporaryFolder } from '../../../tools/servers/server.ts'
import type { Episode } from '../../../workloads/detection/episode.ts'
import { judged } from '../../../workloads/history/history-suite.ts'
import { pipelineHeader } from '../../../workloads/wire/pipeline-header.ts'

const bin = new URL('../../../bin/anomaly', import.meta.url).pathname
const log = await createLogger({ level: 'silent' })

export interface RecorderStatus {
  readonly problem: string
  readonly recorded: { readonly verdict: number; readonly episode: number }
  readonly lag: { readonly verdict: { readonly records: number; readonly seconds: number } }
}

export interface RecorderProcess extends ServerProcess {
  status(): Promise<RecorderStatus>
  metrics(): Promise<string>
  readiness(): Promise<string>
  liveness(): Promise<string>
  log(): string
}

export interface RecorderScene {
  /** Of the pipeline, in the database. */
  readonly schema: string
  readonly name: string
  readonly topic: string
  readonly episodesTopic: string
  /** Publishes the records to the topic of verdicts. */
  send(records: readonly Omit<OutgoingRecord, 'topic'>[]): Promise<void>
  sendEpisodes(episodes: readonly Episode[]): Promise<void>
  start(options?: {
    readonly url?: string
    readonly flags?: readonly string[]
    readonly history?: object
  }): Promise<RecorderProcess>
  count(where?: string): Promise<number>
  stop(): Promise<void>
}

let scenes = 0

/** A pipeline with topics and a schema of its own. */
export async function recorderScene(
  kafka: Kafka,
  postgres: Postgres,
  options: { readonly partitions?: number; readonly brokers?: readonly string[] } = {},
): Promise<RecorderScene> {
  const { partitions = 4, brokers = kafka.brokers } = options
  const name = `recorded${++scenes}`
  const [topic, episodesTopic] = [`${name}-verdicts`, `${name}-episodes`]
  const folder = temporaryFolder('recorder')
  const settings = { brokers: kafka.brokers, clientId: 'test', log }
  const admin = openAdmin(settings)
  await admin.createMissingTopics([
    { topic, partitions },
    { topic: episodesTopic, partitions },
  ])
  admin.close()
  const producer = await connectProducer(settings)
  const processes: ServerProcess[] = []
  return {
    schema: `anomaly_default_${name}`,
    ...{ name, topic, episodesTopic },
    send: (records) => producer.send(records.map((record) => ({ topic, ...record }))),
    sendEpisodes: (episodes) =>
      producer.send(
        episodes.map((episode) => ({ topic: episodesTopic, key: episode.userId, value: JSON.stringify(episode) })),
      ),
    async start({ url = postgres.url, flags = [], history = {} } = {}) {
      const [port] = (await freePorts(1)) as [number]
      const file = join(folder, `${port}.yaml`)
      const spec = {
        source: { brokers },
        results: { episodesTopic },
        history: { postgres: { urlSecretRef: { name: 'history', key: 'url' }, ...history } },
      }
      const document = { apiVersion: 'anomaly.com/v1alpha1', kind: 'AnomalyPipeline', metadata: { name }, spec }
      writeFileSync(file, JSON.stringify(document))
      const args = ['recorder', '-f', file, '--postgres-url', url, '--probes-port', String(port), ...flags]
      const get = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text()
      const logFile = join(folder, `${port}.log`)
      const server = await startServer(bin, args, { log: logFile, ready: async () => (await get('/livez')) !== '' })
      processes.push(server)
      return {
        ...server,
        status: async () => JSON.parse(await get('/status')).history as RecorderStatus,
        metrics: () => get('/metrics'),
        readiness: () => get('/readyz'),
        liveness: () => get('/livez'),
        log: () => readFileSync(logFile, 'utf8'),
      }
    },
    async count(where = 'true') {
      const [row] = await postgres.sql(
        `SELECT count(*)::int AS rows FROM anomaly_default_${name}.verdicts WHERE ${where}`,
      )
      return row!.rows as number
    },
    async stop() {
      await producer.close()
      for (const server of processes) await server.kill()
    },
  }
}

/** Verdicts as a consumer of the pipeline publishes them. */
export function verdicts(pipeline: string, from: number, count: number): Omit<OutgoingRecord, 'topic'>[] {
  return Array.from({ length: count }, (_, i) => {
    const { verdict, json } = judged(from + i, { isAnomaly: (from + i) % 100 === 0, userId: `k${(from + i) % 50}` })
    return { key: verdict.userId, value: json, headers: pipelineHeader(pipeline) }
  })
}
