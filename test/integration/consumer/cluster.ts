import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { AppError } from '../../../lib/errors.ts'
import { openAdmin } from '../../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../../lib/kafka/client.ts'
import { connectProducer, type KafkaProducer } from '../../../lib/kafka/producer.ts'
import { readTopic } from '../../../lib/kafka/read-topic.ts'
import type { KafkaRecord, OutgoingRecord, TopicPartition } from '../../../lib/kafka/records.ts'
import { createLogger } from '../../../lib/log.ts'
import { parsePipeline } from '../../../lib/pipeline/parse-pipeline.ts'
import { resolveGroup } from '../../../lib/pipeline/resolve-pipeline.ts'
import { type Kafka, type KafkaServers, startKafka } from '../../../tools/servers/kafka/kafka.ts'
import { type Redis, startRedis } from '../../../tools/servers/redis.ts'
import { freePorts, type ServerProcess, startServer, temporaryFolder } from '../../../tools/servers/server.ts'
import type { Episode } from '../../../workloads/detection/episode.ts'
import type { Verdict } from '../../../workloads/detection/verdict.ts'
import { type RedisArguments, redisSettingsOf } from '../../../workloads/settings/redis-settings.ts'
import { createRedisState, type RedisState } from '../../../workloads/state/redis.ts'
import { eventually } from '../../harness/eventually.ts'

/** How long a dependency stays away: longer than a session, and than any call may take. */
export const outageMs = 20_000
/** For what should take a second or a session time-out, on a machine that does other things as well. */
export const patience = 240_000

const bin = new URL('../../../bin/anomaly', import.meta.url).pathname
const silent = await createLogger({ level: 'silent' })

export interface Cluster<K extends KafkaServers = Kafka> {
  readonly kafka: K
  readonly redis: Redis
  /** A pipeline with topics, a group and a Redis database of its own. */
  scene(options?: SceneOptions): Promise<Scene>
  stop(): Promise<void>
}

export interface SceneOptions {
  readonly partitions?: number
  readonly detection?: object
  readonly event?: object
  readonly publish?: 'All' | 'Anomalies'
  /** Of `spec.source`, and the files with its login. */
  readonly schemaRegistry?: { readonly url: string; readonly username: string; readonly password: string }
  /** Consumers and APIs reach the broker through the proxy. */
  readonly proxied?: boolean
  /** How the processes reach servers that let nobody in without more. */
  readonly access?: Access
  /** The topics are there before any process is. True by default. */
  readonly hasTopics?: boolean
  /** The topic of events of another scene; its own by default. */
  readonly source?: string
  /** Of its history; it keeps none by default. */
  readonly postgresUrl?: string
}

export interface Access {
  readonly brokers: readonly string[]
  /** Of `spec.source` and `spec.state`. */
  readonly source: object
  readonly state: object
  readonly kafkaFlags: readonly string[]
  readonly redis: Omit<RedisArguments, 'redisUrl'>
  readonly redisUrl: string
}

export interface Role extends ServerProcess {
  readonly probesPort: number
  /** `/livez` or `/readyz`: what it answers, its failing checks one a line. */
  probe(path: 'livez' | 'readyz'): Promise<{ readonly ok: boolean; readonly failing: string }>
  /** `/status` */
  status(): Promise<ConsumerStatus>
  metrics(): Promise<string>
  /** What it wrote to its log. */
  log(): string
}

interface ConsumerStatus {
  readonly events: number
  readonly rejected: number
  readonly openEpisodes: number
  readonly modelVersion: string
  readonly generation?: number
  readonly keys: number
  readonly lag: Readonly<Record<string, number>>
  readonly conditions: { readonly keysMisplaced: boolean }
  readonly kafka: string
  readonly redis: string
  readonly inference: string
}

export type Read = KafkaRecord & TopicPartition

/** A stream of events that goes on until it is stopped. */
export interface Load {
  stop(): Promise<void>
}

export interface Scene {
  /** Number of its Redis database. */
  readonly database: number
  readonly topics: {
    readonly source: string
    readonly results: string
    readonly deadLetters: string
    readonly episodes: string
  }
  /** What the pipeline keeps in Redis, as any of its processes sees it. */
  readonly state: RedisState
  inference(options?: { readonly host?: string; readonly port?: number }): Promise<Role & { readonly address: string }>
  /** Gives the file of the processes that run another detection, or a text that is none, as a cluster would. */
  edit(change: { readonly generation: number; readonly detection: object } | string): void
  /** Ready, that is with partitions, when it resolves. */
  consumer(options: {
    readonly inference: string
    /** Then it owns every partition. True by default. */
    readonly isAlone?: boolean
    readonly stateMebibytes?: number
  }): Promise<Role>
  /** An API, with its address. */
  api(options: {
    readonly inference: string
    readonly port?: number
    /** Those that its console tells of. */
    readonly consumers?: readonly Role[]
    readonly recorders?: readonly Role[]
  }): Promise<Role & { readonly url: string }>
  /** Writes the history; of a scene that has one. */
  recorder(): Promise<Role>
  /** Sends events that count on from the last ones, in order; `users` keys. */
  feed(count: number): Promise<void>
  send(records: readonly Omit<OutgoingRecord, 'topic'>[]): Promise<void>
  /** Feeds about a thousand events a second. */
  load(): Load
  addPartitions(total: number): Promise<void>
  /** Deletes the topic of events and makes it anew. Nobody may send meanwhile. */
  remakeTopic(partitions: number): Promise<void>
  /** Until the group has read all that is in the topic. */
  caughtUp(timeoutMs?: number): Promise<void>
  read(topic: string): Promise<Read[]>
  /**
   * Each record in the topic has one verdict or one dead letter, none has two, and the verdicts of a key are in the
   * order of its events, for each partition that has some. Answers with the verdicts.
   */
  expectExact(): Promise<Verdict[]>
  /** Each alert is in one episode, each episode was opened once, and those that are open are what the consumers know of. */
  expectEpisodesExact(consumers: readonly Role[]): Promise<void>
  /** Events by `partition key`, as the topic has them; without those that could not be read. */
  events(): Promise<ReadonlyMap<string, number>>
  /** Events that each key has learnt from according to Redis, by `partition key`. */
  learnt(): Promise<ReadonlyMap<string, number>>
  /** Until Redis has a profile of every key that learnt from each of its events. */
  expectAllLearnt(): Promise<void>
  /** Epoch of each partition's last writer; -1 where nobody has written. */
  epochs(): Promise<readonly number[]>
  stop(): Promise<void>
}

const users = 60

/** The only user of a secured Redis. */
export const redisUser = {
  name: 'anomaly',
  password: 'p@ss:w/rd%',
  keyPrefix: 'p:',
  args: [
    ...['--user', 'anomaly', 'on', '>p@ss:w/rd%', '~p:*', '-@all', '+@read', '+@write', '+@scripting', '+@connection'],
    ...['+time', '+info', '--user', 'default', 'off'],
  ],
} as const

/** `secured`: with further listeners, and a Redis that lets in only one user. */
export async function startCluster({ secured = false } = {}): Promise<Cluster> {
  const [kafka, redis] = await Promise.all([
    startKafka({ proxied: true, secured }),
    startRedis(secured ? { tls: true, args: redisUser.args } : {}),
  ])
  return clusterOf({ kafka, redis })
}

export function clusterOf<K extends KafkaServers>(servers: { readonly kafka: K; readonly redis: Redis }): Cluster<K> {
  const { kafka, redis } = servers
  const scenes: Scene[] = []
  let count = 0
  return {
    kafka,
    redis,
    scene: async (options) => {
      const scene = await openScene(servers, ++count, options)
      scenes.push(scene)
      return scene
    },
    stop: async () => {
      await Promise.all(scenes.map((scene) => scene.stop()))
      await Promise.all([kafka.stop(), redis.stop()])
    },
  }
}

async function openScene(
  { kafka, redis }: Pick<Cluster<KafkaServers>, 'kafka' | 'redis'>,
  number: number,
  {
    partitions = 4,
    detection = {},
    event = {},
    publish = 'All',
    schemaRegistry,
    proxied = false,
    access,
    hasTopics = true,
    source = `events-${number}`,
    postgresUrl,
  }: SceneOptions = {},
): Promise<Scene> {
  const topics = {
    source,
    results: `results-${number}`,
    deadLetters: `dead-letters-${number}`,
    episodes: `episodes-${number}`,
  }
  const document = {
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: `scene-${number}` },
    spec: {
      source: {
        brokers: [...(access ?? (proxied ? kafka.proxy! : kafka)).brokers],
        topic: topics.source,
        startFrom: 'Earliest',
        createTopics: { partitions },
        ...access?.source,
        ...(schemaRegistry ? { schemaRegistry: { url: schemaRegistry.url, secretRef: { name: 'registry' } } } : {}),
      },
      event,
      detection,
      results: {
        topic: topics.results,
        deadLetterTopic: topics.deadLetters,
        episodesTopic: topics.episodes,
        publish,
      },
      ...(access ? { state: access.state } : {}),
      ...(postgresUrl ? { history: { postgres: { urlSecretRef: { name: 'history', key: 'url' } } } } : {}),
    },
  }
  const pipeline = parsePipeline(document)
  const folder = temporaryFolder('scene')
  const file = join(folder, 'pipeline.yaml')
  // JSON is YAML
  writeFileSync(file, JSON.stringify(document))
  const keyFile = join(folder, 'signing.key')
  writeFileSync(keyFile, `the signing key of scene ${number}`)
  const redisUrl = `${access?.redisUrl ?? redis.url}/${number}`
  const settings: KafkaSettings = { brokers: kafka.brokers, clientId: 'test', log: silent }
  const admin = openAdmin(settings)
  if (hasTopics) await admin.createMissingTopics(Object.values(topics).map((topic) => ({ topic, partitions })))
  const state = createRedisState({
    ...redisSettingsOf(pipeline, { redisUrl, ...access?.redis }),
    readMs: 2000,
    log: silent,
  })
  await state.start!(AbortSignal.timeout(patience))

  const redisFlags = Object.entries(access?.redis ?? {}).flatMap(([name, path]) => [
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    path as string,
  ])
  const kafkaFlags = [...(access?.kafkaFlags ?? []), '--signing-key-file', keyFile]
  const postgresFlags = postgresUrl === undefined ? [] : ['--postgres-url', postgresUrl]
  const registryFlags = (['username', 'password'] as const).flatMap((name) => {
    if (schemaRegistry === undefined) return []
    const path = join(folder, name)
    writeFileSync(path, schemaRegistry[name])
    return [`--schema-registry-${name}-file`, path]
  })
  const roles: ServerProcess[] = []
  const loads: Load[] = []
  let producer: KafkaProducer | undefined
  let fed = 0
  let isStopped = false

  async function start(command: string, args: readonly string[]): Promise<Role> {
    const [probes] = (await freePorts(1)) as [number]
    const log = join(folder, `${command}-${probes}.log`)
    const get = async (path: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${probes}/${path}`, { signal: AbortSignal.timeout(5000) })
    const ofRedis = command === 'recorder' ? [] : ['--redis-url', redisUrl, ...redisFlags]
    const common = ['-f', file, ...ofRedis, '--probes-port', String(probes)]
    const server = await startServer(bin, [command, ...common, ...args], {
      log,
      ready: async () => (await get('readyz')).ok,
      timeoutMs: patience,
    })
    roles.push(server)
    return {
      ...server,
      probesPort: probes,
      probe: async (path) => {
        const response = await get(path)
        const lines = (await response.text()).split('\n')
        return { ok: response.ok, failing: lines.filter((line) => line.startsWith('[-]')).join('\n') }
      },
      status: async () => (await (await get('status')).json()) as ConsumerStatus,
      metrics: async () => (await get('metrics')).text(),
      log: () => readFileSync(log, 'utf8'),
    }
  }

  /** The events are the topic's: a send whose answer was lost may come twice. */
  async function send(records: readonly Omit<OutgoingRecord, 'topic'>[]): Promise<void> {
    for (;;) {
      try {
        producer ??= await connectProducer(settings)
        await producer.send(records.map((record) => ({ topic: topics.source, ...record })))
        return
      } catch (error) {
        if (error instanceof AppError && !error.retriable) throw error
        await delay(200)
      }
    }
  }

  async function alterTopic(...change: readonly string[]): Promise<void> {
    const topic = ['--bootstrap-server', kafka.brokers.join(), '--topic', topics.source]
    await kafka.tool('org.apache.kafka.tools.TopicCommand', [...topic, ...change])
  }

  /** What is sent next is sent by one who knows the topic as it is now. */
  async function forgetTopic(): Promise<void> {
    await producer?.close()
    producer = undefined
  }

  async function feed(count: number): Promise<void> {
    const first = fed
    fed += count
    for (let from = first; from < first + count; from += 1000) {
      const length = Math.min(1000, first + count - from)
      await send(Array.from({ length }, (_, i) => recordOf(eventOf(from + i))))
    }
  }

  async function read(topic: string): Promise<Read[]> {
    const records: Read[] = []
    const add = (batch: TopicPartition & { readonly records: readonly KafkaRecord[] }): void => {
      for (const record of batch.records) records.push({ ...record, topic, partition: batch.partition })
    }
    await readTopic(settings, topic, add, { signal: AbortSignal.timeout(patience) })
    return records
  }

  async function events(): Promise<Map<string, number>> {
    const counts = new Map<string, number>()
    const [source, dead] = await Promise.all([read(topics.source), read(topics.deadLetters)])
    const buried = placesOf(dead)
    for (const { partition, offset, value } of source) {
      if (buried.has(`${partition}-${offset}`)) continue
      const name = `${partition} ${eventIn(value)?.userId}`
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    return counts
  }

  async function learntOf(names: readonly string[]): Promise<Map<string, number>> {
    const learnt = new Map<string, number>()
    for (const [partition, of] of Map.groupBy(names, (name) => Number(name.split(' ')[0]))) {
      const keys = of.map((name) => name.slice(name.indexOf(' ') + 1))
      const payloads = await state.partitions.loadKeys(partition, keys)
      for (const [i, payload] of payloads.entries()) {
        // The id of the layout and the length of the first part, four bytes each; its first number counts the key's events.
        if (payload !== undefined) learnt.set(of[i]!, Buffer.from(payload).readFloatLE(8))
      }
    }
    return learnt
  }

  const scene: Scene = {
    database: number,
    topics,
    state,
    send,
    edit(change) {
      const { metadata, spec } = document
      const text =
        typeof change === 'string'
          ? change
          : JSON.stringify({
              ...document,
              metadata: { ...metadata, generation: change.generation },
              spec: { ...spec, detection: change.detection },
            })
      writeFileSync(`${file}.new`, text)
      renameSync(`${file}.new`, file)
    },
    feed,
    read,
    inference: async ({ host = '127.0.0.1', port = 0 } = {}) => {
      if (port === 0) port = (await freePorts(1))[0]!
      const address = `${host}:${port}`
      const args = ['--host', host, '--port', String(port), '--replica', address, '--drain-seconds', '0']
      return { ...(await start('inference', args)), address }
    },
    consumer: async ({ inference, isAlone = true, stateMebibytes = 64 }) => {
      const args = [
        '--inference',
        inference,
        '--state-mebibytes',
        String(stateMebibytes),
        ...kafkaFlags,
        ...registryFlags,
      ]
      const role = await start('consumer', args)
      if (isAlone) await eventually(async () => expect(await owned(role)).to.equal(partitions), patience)
      return role
    },
    recorder: () => start('recorder', [...(access?.kafkaFlags ?? []), ...postgresFlags]),
    api: async ({ inference, port = 0, consumers = [], recorders = [] }) => {
      if (port === 0) port = (await freePorts(1))[0]!
      const peersOf = (role: string, processes: readonly Role[]) =>
        processes.flatMap(({ probesPort }) => ['--peer', `${role}=127.0.0.1:${probesPort}`])
      const peers = [...peersOf('consumer', consumers), ...peersOf('recorder', recorders)]
      const listening = ['--port', String(port), '--drain-seconds', '0']
      const args = ['--inference', inference, ...listening, ...kafkaFlags, ...postgresFlags, ...peers]
      return { ...(await start('api', args)), url: `http://127.0.0.1:${port}` }
    },
    load() {
      const stopping = new AbortController()
      const feeding = (async () => {
        while (!stopping.signal.aborted) {
          await feed(50)
          await delay(50)
        }
      })()
      feeding.catch(() => {})
      const load = {
        stop: async () => {
          stopping.abort()
          await feeding
        },
      }
      loads.push(load)
      return load
    },
    async addPartitions(total) {
      await alterTopic('--alter', '--partitions', `${total}`)
      await forgetTopic()
    },
    async remakeTopic(partitions) {
      const former = await admin.topicId(topics.source)
      await alterTopic('--delete')
      // A creation whose answer was lost has made it all the same.
      await eventually(async () => {
        await admin.createMissingTopics([{ topic: topics.source, partitions }]).catch(() => {})
        expect(await admin.topicId(topics.source)).not.to.be.oneOf([former, undefined])
      }, patience)
      await forgetTopic()
    },
    caughtUp: (timeoutMs = patience) =>
      eventually(async () => {
        const lag = await admin.lag(resolveGroup(pipeline).groupId, topics.source)
        expect(Math.max(...lag.values()), 'records not read').to.equal(0)
      }, timeoutMs),
    events,
    async expectExact() {
      const [records, results, dead] = await Promise.all([
        read(topics.source),
        read(topics.results),
        read(topics.deadLetters),
      ])
      // Tombstones are left aside.
      const source = records.filter(({ value }) => value !== null)
      const buried = placesOf(dead)
      expect(buried.size, 'dead letters of different records').to.equal(dead.length)
      const verdicts = results.map(({ value }) => JSON.parse(String(value)) as Verdict)
      const alive = source.filter(({ partition, offset }) => !buried.has(`${partition}-${offset}`))
      const given = byKey(verdicts.map(({ userId, eventId }) => ({ key: userId, id: eventId })))
      expect(verdicts.length + dead.length, 'verdicts and dead letters').to.equal(source.length)
      for (const [partition, records] of Map.groupBy(alive, (record) => record.partition)) {
        const wanted = byKey(records.map((record) => ({ key: eventIn(record.value)?.userId ?? '', id: idOf(record) })))
        for (const [key, ids] of wanted) {
          const own = new Set(ids)
          const verdictsOf = given.get(key)?.filter((id) => own.has(id))
          expect(verdictsOf, `verdicts of ${key} in partition ${partition}`).to.deep.equal(ids)
        }
      }
      return verdicts
    },
    async expectEpisodesExact(consumers) {
      const [results, changes] = await Promise.all([read(topics.results), read(topics.episodes)])
      const alerts = results.filter(({ value }) => (JSON.parse(String(value)) as Verdict).isAnomaly)
      const last = new Map<string, Episode>()
      for (const { value } of changes) {
        const episode = JSON.parse(String(value)) as Episode
        const before = last.get(episode.episodeId)?.state
        expect(before, `before ${value}`).to.equal(episode.change === 'Opened' ? undefined : 'Open')
        last.set(episode.episodeId, episode)
      }
      const alone = [...last.values()].filter(({ partOf }) => partOf === undefined)
      const counted = alone.reduce((sum, episode) => sum + episode.alerts, 0)
      expect(counted, 'alerts in episodes').to.equal(alerts.length).and.to.be.above(0)
      const known = (await Promise.all(consumers.map((consumer) => consumer.status()))).map((one) => one.openEpisodes)
      const open = alone.filter(({ state }) => state === 'Open').length
      expect(
        known.reduce((sum, one) => sum + one, 0),
        'episodes that consumers know to be open',
      ).to.equal(open)
    },
    learnt: async () => learntOf([...(await events()).keys()]),
    async expectAllLearnt() {
      const wanted = await events()
      await eventually(async () => {
        const learnt = await learntOf([...wanted.keys()])
        const wrong = [...wanted].filter(([name, count]) => learnt.get(name) !== count)
        const shown = wrong.slice(0, 5).map(([name, count]) => `${name}: ${learnt.get(name)} of ${count}`)
        expect(shown, `${wrong.length} keys have not learnt from each event once`).to.deep.equal([])
        await delay(100)
      }, patience)
    },
    epochs: () =>
      Promise.all(
        Array.from({ length: partitions }, async (_, p) => (await state.partitions.take(p)).formerEpoch ?? -1),
      ),
    async stop() {
      if (isStopped) return
      isStopped = true
      await Promise.all(loads.map((load) => load.stop().catch(() => {})))
      await Promise.all(roles.map((role) => role.kill()))
      await producer?.close().catch(() => {})
      await state.stop!()
      admin.close()
    },
  }
  return scene
}

/** Partitions that a consumer owns. */
export async function owned(consumer: Role): Promise<number> {
  return Object.keys((await consumer.status()).lag).length
}

/** Until the consumer has judged so many events more. */
export async function judged(consumer: Role, more: number): Promise<void> {
  const from = (await consumer.status()).events
  await eventually(async () => expect((await consumer.status()).events).to.be.at.least(from + more), patience)
}

interface FedEvent {
  readonly eventId: string
  readonly timestamp: number
  readonly userId: string
  readonly value: number
  readonly features: Readonly<Record<string, number>>
}

/** The event of a number: ordinary, but every 500th is far out. */
export function eventOf(i: number): FedEvent {
  const noise = (salt: number): number => ((Math.imul(i + salt, 0x9e3779b1) >>> 8) % 1000) / 1000
  return {
    eventId: `event-${i}`,
    timestamp: Date.UTC(2024, 0, 1) + i * 1000,
    userId: `user-${i % users}`,
    value: i % 500 === 499 ? 5000 : 50 + 20 * noise(1),
    features: { amount: 50 + 20 * noise(1), risk: noise(2), velocity: 3 * noise(3) },
  }
}

export function recordOf(event: FedEvent): { readonly key: string; readonly value: string } {
  return { key: event.userId, value: JSON.stringify(event) }
}

function eventIn(value: Buffer | null): Partial<FedEvent> | undefined {
  try {
    const body: unknown = JSON.parse(String(value ?? ''))
    return typeof body === 'object' && body !== null ? body : undefined
  } catch {
    return undefined
  }
}

/** Where the records of dead letters were. */
function placesOf(dead: readonly Read[]): ReadonlySet<string> {
  return new Set(dead.map(({ headers }) => `${headers['anomaly-partition']}-${headers['anomaly-offset']}`))
}

function idOf({ topic, partition, offset, value }: Read): string {
  return eventIn(value)?.eventId ?? `${topic}-${partition}-${offset}`
}

function byKey(events: readonly { readonly key: string; readonly id: string }[]): Map<string, string[]> {
  const ids = new Map<string, string[]>()
  for (const { key, id } of events) {
    const list = ids.get(key)
    if (list === undefined) ids.set(key, [id])
    else list.push(id)
  }
  return ids
}
