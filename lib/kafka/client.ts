import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import type * as Kafkajs from 'kafkajs'
import { AppError, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { backoff, sleep, within } from '../time.ts'
import { codecs } from './codecs.ts'
import { install } from './encoder.ts'
import { partitionOf } from './partitioner.ts'

const require = createRequire(import.meta.url)
const corrected = install()
const { Kafka, CompressionCodecs, PartitionAssigners, logLevel } = require('kafkajs') as typeof Kafkajs
Object.assign(CompressionCodecs, codecs)

export const saslMechanisms = ['Plain', 'ScramSha256', 'ScramSha512'] as const
export type SaslMechanism = (typeof saslMechanisms)[number]

/** Where a cluster is and who asks. PEM texts, not paths. */
export interface KafkaSettings {
  readonly brokers: readonly string[]
  readonly clientId: string
  /** Without `cert` and `key` only the broker proves who it is; without `ca` the system's authorities are trusted. */
  readonly tls?: {
    readonly ca?: string | undefined
    readonly cert?: string | undefined
    readonly key?: string | undefined
  }
  readonly sasl?: { readonly mechanism: SaslMechanism; readonly username: string; readonly password: string }
  readonly log: Logger
}

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** A header that occurs several times has a list of values. */
export type Headers = Readonly<Record<string, HeaderValue | readonly HeaderValue[] | undefined>>
type HeaderValue = Buffer | string | null

export interface KafkaRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Headers
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly offset: number
}

/** Consecutive records of one partition. */
export interface RecordBatch extends TopicPartition {
  readonly records: readonly KafkaRecord[]
  /** Offset after the last record of the partition when this batch was read. */
  readonly highWatermark: number
}

export interface OutgoingRecord {
  readonly topic: string
  /** By default where Murmur2 puts the key; without a key a fixed one. */
  readonly partition?: number | undefined
  readonly key: Buffer | string | null
  readonly value: Buffer | string | null
  readonly headers?: Headers | undefined
}

/** Bytes of a record on the wire, never too few. */
export function sizeOf(record: OutgoingRecord): number {
  let size = 32 + bytesOf(record.key) + bytesOf(record.value)
  if (record.headers === undefined) return size
  for (const [name, value] of Object.entries(record.headers)) {
    for (const one of Array.isArray(value) ? (value as readonly HeaderValue[]) : [value as HeaderValue | undefined]) {
      size += 10 + Buffer.byteLength(name) + bytesOf(one)
    }
  }
  return size
}

function bytesOf(value: HeaderValue | undefined): number {
  return value == null ? 0 : typeof value === 'string' ? Buffer.byteLength(value) : value.length
}

const saslNames = { Plain: 'plain', ScramSha256: 'scram-sha-256', ScramSha512: 'scram-sha-512' } as const

/** Each consumer and each kind of producer gets its own: clients of one share a map of offsets that aborted transactions change. */
function clientOf(settings: KafkaSettings, retry: Kafkajs.RetryOptions): Kafkajs.Kafka {
  const { brokers, clientId, tls, sasl, log } = settings
  return new Kafka({
    brokers: [...brokers],
    clientId,
    ...(tls ? { ssl: { ...tls } as Kafkajs.KafkaConfig['ssl'] & object } : {}),
    ...(sasl ? { sasl: { ...sasl, mechanism: saslNames[sasl.mechanism] } as Kafkajs.SASLOptions } : {}),
    connectionTimeout: 3000,
    authenticationTimeout: 10_000,
    requestTimeout: 10_000,
    retry,
    logLevel: logLevel.WARN,
    // kafkajs calls each retry an error; what matters is logged by whoever used it.
    logCreator: () => (entry) => log.debug({ kafka: entry.namespace, ...entry.log }, entry.log.message),
  })
}

const connecting: Kafkajs.RetryOptions = { initialRetryTime: 100, maxRetryTime: 1000, retries: 3 }
/** How long a broker may ask for a moment. */
const passingMs = 10_000
/** After it the broker aborts a transaction by itself. */
const transactionMs = 30_000
/** The broker answers CONCURRENT_TRANSACTIONS for a few milliseconds after a commit. */
const transacting: Kafkajs.RetryOptions = { initialRetryTime: 5, maxRetryTime: 500, retries: 9 }

/** The names of Kafka's errors in a thrown value and its causes, e.g. `INVALID_PRODUCER_EPOCH`; of connections, kafkajs' own. */
function typesOf(error: unknown): string[] {
  const types: string[] = []
  for (let at = error; at instanceof Error; at = at.cause) {
    const { type, code } = at as { type?: unknown; code?: unknown }
    types.push(typeof type === 'string' && type !== unknownError ? type : at.name)
    if (code === -99) types.push(at.message)
  }
  return types
}
const unknownError = 'KAFKAJS_UNKNOWN_ERROR_CODE'

function has(error: unknown, types: ReadonlySet<string>): boolean {
  return typesOf(error).some((type) => types.has(type))
}

// PRODUCER_FENCED and TRANSACTIONAL_ID_NOT_FOUND's neighbours came after kafkajs' last table of errors
const fencedTypes = new Set(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED', 'Unknown error code 90'])
const tooLargeTypes = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'])
/** A coordinator that is just being made, loads or moves. */
const coldTypes = new Set([
  'NOT_COORDINATOR_FOR_GROUP',
  'GROUP_LOAD_IN_PROGRESS',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'KafkaJSGroupCoordinatorNotFound',
])
const passingTypes = new Set([
  ...coldTypes,
  'CONCURRENT_TRANSACTIONS',
  'REQUEST_TIMED_OUT',
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSBrokerNotFound',
])

/** Another producer of the same transactional id has taken over. */
export const isFenced = (error: unknown): boolean => has(error, fencedTypes)
/** What was sent at once exceeds what the topic takes. */
export const isTooLarge = (error: unknown): boolean => has(error, tooLargeTypes)

function placing(): Kafkajs.ICustomPartitioner {
  return () =>
    ({ partitionMetadata, message }) => {
      // remembered: a repeated send must not place the record anew
      message.partition ??= message.key == null ? 0 : partitionOf(message.key, partitionMetadata.length, 'Murmur2')
      return message.partition
    }
}

/** As kafkajs wants it: one list a topic, objects of its own. */
function byTopic(records: readonly OutgoingRecord[]): Kafkajs.TopicMessages[] {
  const topics = new Map<string, Kafkajs.Message[]>()
  for (const { topic, partition, key, value, headers } of records) {
    const message = { key, value, ...(partition === undefined ? {} : { partition }), ...(headers ? { headers } : {}) }
    const messages = topics.get(topic)
    if (messages === undefined) topics.set(topic, [message as Kafkajs.Message])
    else messages.push(message as Kafkajs.Message)
  }
  return Array.from(topics, ([topic, messages]) => ({ topic, messages }))
}

/** A producer that fenced all earlier ones of its id: what they had left open is ended. */
export interface TransactionalProducer {
  /** This and each step of the transaction fails with `DeadlineExceeded` where the broker does not answer. */
  begin(): Promise<Transaction>
  /** Lets go in the background: a producer that is stuck does not hold anything up. */
  discard(): void
}

export interface Transaction {
  /** One request a leader: bound what one call holds. */
  send(records: readonly OutgoingRecord[]): Promise<void>
  /** After the last `send`. `offset` is the next one to read. */
  sendOffsets(groupId: string, offsets: readonly (TopicPartition & { readonly offset: number })[]): Promise<void>
  /** When it throws, it may have committed all the same; the producer is of no more use. */
  commit(): Promise<void>
}

/** Connects and initialises: resolves when the predecessors of `transactionalId` are fenced. */
export type OpenProducer = (transactionalId: string) => Promise<TransactionalProducer>

/** The producers of one process: they share settings, not connections. */
export function transactionalProducers(
  settings: KafkaSettings,
  options: { readonly timeoutMs?: number | undefined } = {},
): OpenProducer {
  const { timeoutMs = transactionMs } = options
  const kafka = clientOf(settings, { ...connecting, ...transacting })
  /** kafkajs repeats each request for more than a minute; what it does after the deadline, the next producer fences. */
  const timely = <T>(what: string, work: Promise<T>): Promise<T> =>
    within(timeoutMs, work, `Cannot ${what}: no answer from ${settings.brokers.join(',')} in ${timeoutMs} ms`)
  return async (transactionalId) => {
    const producer = kafka.producer({
      transactionalId,
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      metadataMaxAge: 30_000,
      transactionTimeout: transactionMs,
      createPartitioner: placing(),
    })
    const discard = (): void => void producer.disconnect().catch(() => {})
    try {
      // kafkajs initialises in its first transaction only; begun here, it costs the broker nothing until used
      const initialised = producer.connect().then(() => producer.transaction())
      let next: Kafkajs.Transaction | undefined = await timely('initialise a producer', initialised)
      const begin = async (): Promise<Transaction> => {
        const transaction = next ?? (await timely('begin a transaction', producer.transaction()))
        next = undefined
        return {
          send: async (records) => {
            await timely('send', transaction.sendBatch({ topicMessages: byTopic(records), acks: -1 }))
          },
          sendOffsets: (groupId, offsets) => {
            const topics = offsets.map(({ topic, partition, offset }) => ({
              topic,
              partitions: [{ partition, offset: String(offset) }],
            }))
            const send = () => transaction.sendOffsets({ consumerGroupId: groupId, topics })
            return timely('send offsets', retryPassing(send))
          },
          commit: () => timely('commit', transaction.commit()),
        }
      }
      return { begin, discard }
    } catch (error) {
      discard()
      throw error
    }
  }
}

/** Repeats what changes nothing by being repeated, where the broker only asks for a moment. */
async function retryPassing<T>(
  attempt: () => Promise<T>,
  options: { readonly types?: ReadonlySet<string>; readonly signal?: AbortSignal } = {},
): Promise<T> {
  const { types = passingTypes, signal } = options
  const end = performance.now() + passingMs
  for (let failures = 1; ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      if (performance.now() > end || signal?.aborted || !has(error, types) || isFenced(error)) throw error
      await sleep(backoff(failures, { baseMs: 5, maxMs: 1000 }), { signal })
    }
  }
}

/** What a member of a consumer group is told. */
export interface MemberEvents {
  /** Before every join and before leaving: what is owned now may be another's soon. The join waits for it. */
  leaving(): Promise<void>
  /** After every join; nothing of it is fetched before this returns. */
  joined(partitions: readonly TopicPartition[]): void
  /** The next record of a partition; throws `rejoin()` to give everything up and join anew. */
  batch(batch: RecordBatch, control: BatchControl): Promise<void>
  /** The position is not in the log any more, or not yet. `seek` says where to go on. */
  outOfRange(of: TopicPartition): Promise<void>
  /** The loop turned. */
  polled(): void
  /** The broker that coordinates the group answered. */
  heard(): void
  /** It will not do anything any more. */
  crashed(error: unknown): void
}

export interface BatchControl {
  /** Offset after everything that this batch covers: beyond its last record where the log has holes. */
  readonly end: number
  /** Throws when the group wants its members back; kafkajs limits the rate. */
  heartbeat(): Promise<void>
  /** The batch is done up to, not with, this offset. */
  resolve(nextOffset: number): void
  /** Someone has called `seek` since it was fetched. */
  isStale(): boolean
  isRunning(): boolean
}

export interface GroupMember {
  seek(of: TopicPartition, offset: number): void
  /** Ends the batches in work, leaves the group, closes the connections. */
  stop(): Promise<void>
}

export interface MemberOptions {
  readonly groupId: string
  readonly topics: readonly string[]
  readonly sessionTimeoutMs: number
  readonly maxBytesPerPartition: number
  readonly maxPartitionsAtOnce: number
  /** How long the broker holds a fetch without records: also how long `stop` may take when idle. */
  readonly maxWaitMs: number
  /** Age of metadata: new partitions are seen after it. */
  readonly metadataMaxAgeMs: number
}

/** Makes kafkajs join the group anew. */
export function rejoin(reason: string): Error {
  return Object.assign(new Error(reason), { type: 'REBALANCE_IN_PROGRESS' })
}

/** Whether the group has a new generation, or this member is none any more. */
export const isRebalancing = (error: unknown): boolean =>
  has(error, new Set(['REBALANCE_IN_PROGRESS', 'ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID']))
export const hasLostMembership = (error: unknown): boolean =>
  has(error, new Set(['ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID']))

/** Connects and joins the group; commits nothing. */
export async function joinGroup(
  settings: KafkaSettings,
  options: MemberOptions,
  events: MemberEvents,
): Promise<GroupMember> {
  if (!corrected)
    settings.log.warn({}, 'kafkajs is not of the version known here: it runs as it is, slower and without hand-over')
  const consumer = clientOf(settings, connecting).consumer({
    groupId: options.groupId,
    sessionTimeout: options.sessionTimeoutMs,
    rebalanceTimeout: options.sessionTimeoutMs + 5000,
    heartbeatInterval: Math.min(1000, options.sessionTimeoutMs / 3),
    metadataMaxAge: options.metadataMaxAgeMs,
    maxBytesPerPartition: options.maxBytesPerPartition,
    minBytes: 1,
    maxWaitTimeInMs: options.maxWaitMs,
    allowAutoTopicCreation: false,
    readUncommitted: false,
    retry: { ...connecting, restartOnFailure: async () => false },
    partitionAssigners: [
      (config) => Object.assign(PartitionAssigners.roundRobin(config), { [groupEvents]: events satisfies GroupEvents }),
    ],
  })
  let stopped = false
  consumer.on(consumer.events.FETCH_START, () => events.polled())
  consumer.on(consumer.events.HEARTBEAT, () => events.heard())
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!stopped) events.crashed(payload.error)
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    events.joined(
      Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
        partitions.map((partition) => ({ topic, partition })),
      ),
    )
  })
  const stop = async (): Promise<void> => {
    stopped = true
    await consumer.disconnect()
  }
  try {
    await consumer.connect()
    await consumer.subscribe({ topics: [...options.topics], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: options.maxPartitionsAtOnce,
      eachBatch: async (payload) => {
        const { batch } = payload
        await events.batch(recordBatch(batch), {
          end: Number(batch.lastOffset()) + 1,
          heartbeat: payload.heartbeat,
          resolve: (nextOffset) => payload.resolveOffset(String(nextOffset - 1)),
          isStale: payload.isStale,
          isRunning: payload.isRunning,
        })
      },
    })
  } catch (error) {
    stop().catch(() => {})
    throw error
  }
  return {
    seek: ({ topic, partition }, offset) => {
      // thrown when the consumer has just ended: then its successor reads the committed offset
      try {
        consumer.seek({ topic, partition, offset: String(offset) })
      } catch {}
    },
    stop,
  }
}

function recordBatch(batch: Kafkajs.Batch): RecordBatch {
  // what our own decoder gave are records already
  if (!corrected) {
    for (const message of batch.messages as unknown as { offset: unknown; timestamp: unknown }[]) {
      message.offset = Number(message.offset)
      message.timestamp = Number(message.timestamp)
    }
  }
  return {
    topic: batch.topic,
    partition: batch.partition,
    records: batch.messages as unknown as KafkaRecord[],
    highWatermark: Number(batch.highWatermark),
  }
}

/** What kafkajs has no awaited hook for. It hangs on the assigner, the only object of ours that reaches a ConsumerGroup. */
type GroupEvents = Pick<MemberEvents, 'leaving' | 'outOfRange'>
const groupEvents = Symbol('events of the group')

interface ConsumerGroup {
  readonly assigners: readonly { readonly [groupEvents]?: GroupEvents }[]
  joinAndSync(): Promise<void>
  leave(): Promise<void>
  recoverFromOffsetOutOfRange(error: TopicPartition): Promise<void>
}

function hookConsumerGroup(group: ConsumerGroup): void {
  const { joinAndSync, leave, recoverFromOffsetOutOfRange } = group
  const eventsOf = (of: ConsumerGroup): GroupEvents | undefined => of.assigners[0]?.[groupEvents]
  group.joinAndSync = async function () {
    await eventsOf(this)?.leaving()
    // the stock one gives up where the coordinator asks for a moment
    await retryPassing(() => joinAndSync.call(this), { types: coldTypes })
  }
  group.leave = async function () {
    await eventsOf(this)?.leaving()
    await leave.call(this)
  }
  // the stock one commits "latest" or "earliest" in silence
  group.recoverFromOffsetOutOfRange = async function (error) {
    const events = eventsOf(this)
    if (events) await events.outOfRange({ topic: error.topic, partition: error.partition })
    else await recoverFromOffsetOutOfRange.call(this, error)
  }
}
if (corrected)
  hookConsumerGroup((require('kafkajs/src/consumer/consumerGroup') as { prototype: ConsumerGroup }).prototype)

export interface Offsets {
  readonly low: number
  readonly high: number
}

export interface KafkaAdmin {
  /** Creates those of the topics that are missing, with the broker's replication factor. Gives their names. */
  createMissingTopics(topics: readonly { readonly topic: string; readonly partitions: number }[]): Promise<string[]>
  /** First and next offset of each partition. */
  topicOffsets(topic: string): Promise<ReadonlyMap<number, Offsets>>
  /** Next offset that the group will read; partitions without one are left out. */
  committedOffsets(groupId: string, topic: string): Promise<ReadonlyMap<number, number>>
  /** Records that the group has not read, by partition. Without a committed offset all of them. */
  lag(groupId: string, topic: string): Promise<ReadonlyMap<number, number>>
  close(): void
}

/** Connects at the first call and again after a failure. Each call fails with `DeadlineExceeded` after `timeoutMs`. */
export function openAdmin(
  settings: KafkaSettings,
  options: { readonly timeoutMs?: number | undefined } = {},
): KafkaAdmin {
  const { timeoutMs = 15_000 } = options
  const kafka = clientOf(settings, connecting)
  let connected: Promise<Kafkajs.Admin> | undefined
  const discard = (): void => {
    const former = connected
    connected = undefined
    former?.then((admin) => admin.disconnect()).catch(() => {})
  }
  const connect = async (): Promise<Kafkajs.Admin> => {
    const admin = kafka.admin({ retry: connecting })
    try {
      await admin.connect()
    } catch (error) {
      admin.disconnect().catch(() => {})
      throw error
    }
    return admin
  }
  const attempt = async <T>(call: (admin: Kafkajs.Admin) => Promise<T>): Promise<T> => {
    connected ??= connect()
    try {
      return await call(await connected)
    } catch (error) {
      discard()
      throw error
    }
  }
  const use = async <T>(what: string, call: (admin: Kafkajs.Admin) => Promise<T>): Promise<T> => {
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      const work = retryPassing(() => attempt(call), { signal })
      return await within(timeoutMs, work, `Cannot ${what}: no answer from ${settings.brokers.join(',')}`)
    } catch (error) {
      if (error instanceof AppError) throw error
      const code = has(error, new Set(['UNKNOWN_TOPIC_OR_PARTITION'])) ? 'NotFound' : 'Unavailable'
      throw new AppError(code, `Cannot ${what}: ${messageOf(error)}`, { cause: error })
    }
  }
  const admin: KafkaAdmin = {
    createMissingTopics: (topics) =>
      use('create topics', async (client) => {
        const existing = new Set(await client.listTopics())
        const missing = topics.filter(({ topic }) => !existing.has(topic))
        if (missing.length > 0) {
          await client.createTopics({
            topics: missing.map(({ topic, partitions }) => ({ topic, numPartitions: partitions })),
            waitForLeaders: true,
          })
        }
        return missing.map(({ topic }) => topic)
      }),
    topicOffsets: (topic) =>
      use(`read the offsets of ${topic}`, async (client) => {
        const offsets = await client.fetchTopicOffsets(topic)
        return new Map(offsets.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]))
      }),
    committedOffsets: (groupId, topic) =>
      use(`read the offsets of group ${groupId}`, async (client) => {
        const topics = await client.fetchOffsets({ groupId, topics: [topic] })
        const committed = topics.flatMap(({ partitions }) => partitions.filter(({ offset }) => Number(offset) >= 0))
        return new Map(committed.map(({ partition, offset }) => [partition, Number(offset)]))
      }),
    lag: async (groupId, topic) => {
      const [ends, committed] = await Promise.all([admin.topicOffsets(topic), admin.committedOffsets(groupId, topic)])
      return new Map(
        Array.from(ends, ([partition, { low, high }]) => [
          partition,
          Math.max(0, high - Math.max(low, committed.get(partition) ?? low)),
        ]),
      )
    },
    close: discard,
  }
  return admin
}

export interface KafkaProducer {
  /**
   * Resolves when every replica in sync has the records. Rejects with `Unavailable`, or `DeadlineExceeded` after
   * `timeoutMs`: then what was not under way yet is never sent, the rest may have arrived, in part or as a whole.
   */
  send(records: readonly OutgoingRecord[], options?: { readonly timeoutMs?: number | undefined }): Promise<void>
  /** What is under way is waited for, but no longer than some seconds. */
  close(): Promise<void>
}

interface Waiting {
  readonly records: readonly OutgoingRecord[]
  readonly bytes: number
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

const maxSendBytes = 768 * 1024
const closeMs = 5000

/**
 * An idempotent producer, acknowledged by all replicas. What arrives while a request is under way goes together with the
 * next one. After a failure the next send starts with a new producer: kafkajs reuses the sequence numbers of a failed
 * send, and the broker would take other records under the same numbers for a repetition.
 */
export async function connectProducer(settings: KafkaSettings): Promise<KafkaProducer> {
  const kafka = clientOf(settings, connecting)
  const connect = async (): Promise<Kafkajs.Producer> => {
    const producer = kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      metadataMaxAge: 30_000,
      createPartitioner: placing(),
    })
    try {
      await producer.connect()
    } catch (error) {
      producer.disconnect().catch(() => {})
      throw error
    }
    return producer
  }

  let producer: Kafkajs.Producer | undefined = await connect()
  let waiting: Waiting[] = []
  let flushing: Promise<void> | undefined
  let closed = false

  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      let bytes = 0
      let count = 0
      while (count < waiting.length && (count === 0 || bytes + waiting[count]!.bytes <= maxSendBytes)) {
        bytes += waiting[count++]!.bytes
      }
      const batch = waiting.slice(0, count)
      waiting = waiting.slice(count)
      try {
        producer ??= await connect()
        await producer.sendBatch({ acks: -1, topicMessages: byTopic(batch.flatMap(({ records }) => records)) })
        for (const { done } of batch) done()
      } catch (error) {
        const former = producer
        producer = undefined
        former?.disconnect().catch(() => {})
        const failure = new AppError('Unavailable', `Cannot send to Kafka: ${messageOf(error)}`, { cause: error })
        for (const { failed } of batch) failed(failure)
      }
    }
    flushing = undefined
  }
  return {
    send: (records, { timeoutMs = 10_000 } = {}) => {
      if (closed) return Promise.reject(new AppError('Unavailable', 'Cannot send to Kafka: the producer is closed'))
      const { promise: sent, resolve: done, reject: failed } = Promise.withResolvers<void>()
      const mine = { records, bytes: records.reduce((sum, record) => sum + sizeOf(record), 0), done, failed }
      waiting.push(mine)
      flushing ??= Promise.resolve().then(flush)
      return within(timeoutMs, sent, `Cannot send to Kafka: no answer in ${timeoutMs} ms`).finally(() => {
        waiting = waiting.filter((one) => one !== mine)
      })
    },
    close: async () => {
      closed = true
      const ended = (flushing ?? Promise.resolve()).then(() => producer?.disconnect())
      await within(closeMs, ended, 'Kafka does not answer').catch((error) =>
        settings.log.debug({ error }, 'not closed'),
      )
    },
  }
}

/**
 * The committed records of a topic from its start to where it ended when this began, in the order of each partition. It
 * waits for transactions that are open there: the broker marks one as committed some time after it has answered.
 * For commands and tests: it joins a group of its own and commits nothing.
 */
export async function readTopic(
  settings: KafkaSettings,
  topic: string,
  onBatch: (batch: RecordBatch) => void,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { signal } = options
  const left = await logEnds(settings, topic)
  if (left.size === 0) return

  const groupId = `anomaly-reader-${randomUUID()}`
  const consumer = clientOf(settings, connecting).consumer({
    groupId,
    maxWaitTimeInMs: 100,
    allowAutoTopicCreation: false,
  })
  const end = Promise.withResolvers<void>()
  const aborted = (): void => end.reject(signal?.reason)
  consumer.on(consumer.events.CRASH, ({ payload }) => end.reject(payload.error))
  // Comes for marks of transactions too, which no batch shows; a fetch that brought nothing ends in no event.
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { partition, lastOffset } }) => {
    if (Number(lastOffset) + 1 >= (left.get(partition) ?? 0)) left.delete(partition)
    if (left.size === 0) end.resolve()
  })
  try {
    signal?.addEventListener('abort', aborted)
    signal?.throwIfAborted()
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 64,
      eachBatch: async ({ batch, heartbeat }) => {
        const end = left.get(batch.partition)
        if (end === undefined) return
        const { records, ...rest } = recordBatch(batch)
        onBatch({ ...rest, records: records.filter(({ offset }) => offset < end) })
        await heartbeat()
      },
    })
    await end.promise
  } finally {
    signal?.removeEventListener('abort', aborted)
    await consumer.disconnect().catch(() => {})
  }
}

/**
 * Where each partition that holds something ends. kafkajs' admin answers for a reader of committed records: an open
 * transaction hides all that is behind its start. It has no option for the isolation level, only the cluster that it makes.
 */
async function logEnds(settings: KafkaSettings, topic: string): Promise<Map<number, number>> {
  const kafka = clientOf(settings, connecting) as Kafkajs.Kafka & Record<symbol, (options: object) => unknown>
  for (const name of Object.getOwnPropertySymbols(kafka)) {
    if (name.description !== 'private:Kafka:createCluster') continue
    const createCluster = kafka[name]!
    kafka[name] = (options) => createCluster({ ...options, isolationLevel: readUncommitted })
  }
  const admin = kafka.admin({ retry: connecting })
  try {
    await admin.connect()
    const offsets = await admin.fetchTopicOffsets(topic)
    return new Map(offsets.flatMap(({ partition, low, high }) => (low === high ? [] : [[partition, Number(high)]])))
  } finally {
    admin.disconnect().catch(() => {})
  }
}

const readUncommitted = 0
