import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { openAdmin } from '../../../lib/kafka/admin.ts'
import { connectProducer } from '../../../lib/kafka/producer.ts'
import { readTopic } from '../../../lib/kafka/read-topic.ts'
import type { KafkaRecord } from '../../../lib/kafka/records.ts'
import { createLogger } from '../../../lib/log.ts'
import type { Kafka } from '../../../tools/servers/kafka/kafka.ts'
import { freePorts, type ServerProcess, startServer, temporaryFolder } from '../../../tools/servers/server.ts'
import type { Episode } from '../../../workloads/detection/episode.ts'

const bin = new URL('../../../bin/anomaly', import.meta.url).pathname
const log = await createLogger({ level: 'silent' })

export interface NotifyingRecorder extends ServerProcess {
  status(): Promise<Readonly<Record<string, { readonly problem: string; readonly waiting: number }>>>
  metrics(): Promise<string>
  log(): string
}

export interface NotificationScene {
  readonly name: string
  /** Publishes episodes as consumers do. */
  publish(...episodes: readonly Episode[]): Promise<void>
  /** Gives the file another list of receivers, as a cluster would. */
  edit(notifications: readonly object[]): void
  /** Its receivers are those of the last `edit`; they read when it resolves. */
  recorder(): Promise<NotifyingRecorder>
  deadLetters(): Promise<readonly KafkaRecord[]>
  stop(): Promise<void>
}

let scenes = 0

/** A pipeline with topics of its own, and Secrets as files. */
export async function notificationScene(
  kafka: Kafka,
  options: {
    readonly notifications: readonly object[]
    /** By `secret/entry`. */
    readonly secrets?: Readonly<Record<string, string>>
    readonly partitions?: number
    /** Of a pipeline that consumers run; one of its own if absent. */
    readonly of?: { readonly name: string; readonly episodes: string; readonly deadLetters: string }
  },
): Promise<NotificationScene> {
  const { secrets = {}, partitions = 3 } = options
  const own = `notified${++scenes}`
  const { of = { name: own, episodes: `${own}-episodes`, deadLetters: `${own}-dead-letters` } } = options
  const { name, episodes: episodesTopic, deadLetters: deadLetterTopic } = of
  const folder = temporaryFolder('notified')
  const file = join(folder, 'pipeline.yaml')
  for (const [entry, value] of Object.entries(secrets)) {
    mkdirSync(dirname(join(folder, entry)), { recursive: true })
    writeFileSync(join(folder, entry), value)
  }
  const settings = { brokers: kafka.brokers, clientId: 'test', log }
  const admin = openAdmin(settings)
  await admin.createMissingTopics([episodesTopic, deadLetterTopic].map((topic) => ({ topic, partitions })))
  admin.close()
  const producer = await connectProducer(settings)
  const processes: ServerProcess[] = []
  let generation = 0

  function edit(notifications: readonly object[]): void {
    const document = {
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name, generation: ++generation },
      spec: {
        source: { brokers: kafka.brokers },
        results: { episodesTopic, deadLetterTopic },
        api: { externalUrl: 'https://anomaly.example.com' },
        notifications,
      },
    }
    writeFileSync(`${file}.new`, JSON.stringify(document))
    renameSync(`${file}.new`, file)
  }
  edit(options.notifications)

  return {
    name,
    edit,
    publish: (...episodes) =>
      producer.send(
        episodes.map((episode) => ({
          topic: episodesTopic,
          key: episode.userId ?? episode.episodeId,
          value: JSON.stringify(episode),
        })),
      ),
    async recorder() {
      const [port] = (await freePorts(1)) as [number]
      const logFile = join(folder, `${port}.log`)
      const get = async (path: string) => fetch(`http://127.0.0.1:${port}${path}`)
      const args = ['recorder', '-f', file, '--probes-port', String(port), '--secrets-folder', folder]
      const status = async () => ((await (await get('/status')).json()) as { notifications: object }).notifications
      const server = await startServer(bin, args, {
        log: logFile,
        ready: async () => (await get('/readyz')).ok && Object.keys(await status()).length > 0,
      })
      processes.push(server)
      return {
        ...server,
        status: status as NotifyingRecorder['status'],
        metrics: async () => (await get('/metrics')).text(),
        log: () => readFileSync(logFile, 'utf8'),
      }
    },
    async deadLetters() {
      const records: KafkaRecord[] = []
      await readTopic(settings, deadLetterTopic, (batch) => void records.push(...batch.records))
      return records
    },
    async stop() {
      await producer.close()
      for (const server of processes) await server.kill()
    },
  }
}
