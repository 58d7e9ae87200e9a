import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { Redis, type RedisOptions, ReplyError } from 'ioredis'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import { backoff, within } from '../../lib/time.ts'
import { batches } from './batches.ts'
import {
  type Claim,
  type FeatureStore,
  type FlushOutcome,
  formerModelSeconds,
  type ModelStore,
  type PartitionStore,
  type ResultStore,
  reservoirSeconds,
  type StateStore,
  type SwapOutcome,
} from './state.ts'

export interface RedisStateOptions {
  /**
   * redis:// or rediss://[user:password@]host[:port][/database], or where Sentinels know the server:
   * redis+sentinel:// or rediss+sentinel://[user:password@]host[:port][,host[:port]...]/name[/database]
   */
  readonly url: string
  /** PEM texts; given, they turn TLS on whatever the URL says. Without `ca` the system's authorities are trusted. */
  readonly tls?:
    | { readonly ca?: string | undefined; readonly cert?: string | undefined; readonly key?: string | undefined }
    | undefined
  /** What the names of all keys begin with. */
  readonly keyPrefix?: string | undefined
  /** How the payloads of keys and partitions are laid out: an unsigned 32-bit number. Those stored under another one are not read. */
  readonly encoding: number
  readonly profileTtlSeconds: number
  readonly featureTtlSeconds: number
  readonly maxFeatures: number
  readonly log: Logger
  /** A payload was found that another version of the program wrote. */
  readonly onForeign?: ((what: 'profile' | 'partition') => void) | undefined
  /** Deadlines in ms: of a read, of each step of a write, of a model or reservoir. */
  readonly readMs?: number | undefined
  readonly writeMs?: number | undefined
  readonly bulkMs?: number | undefined
  /** A connection on which a question stays unanswered for so long, in ms, is given up. */
  readonly silenceMs?: number | undefined
  /** How long `start` waits for the first connection before it leaves that to the background, in ms. */
  readonly startMs?: number | undefined
}

/** State in one Redis server. As a part it is started before and stopped after whatever uses it. */
export interface RedisState extends StateStore, Part {}

type Value = string | Buffer
/** A Lua script beside this file, as a command: number of keys, keys, arguments. */
type Script = (keys: number, ...args: (readonly Value[])[]) => Promise<unknown>
const scripts = {
  flush: 'flush',
  extendNames: 'extend-names',
  claimResults: 'claim-results',
  releaseResults: 'release-results',
  putResults: 'put-results',
  swapModel: 'swap-model',
  releaseLock: 'release-lock',
} as const
type Client = Redis & Readonly<Record<keyof typeof scripts, Script>>

const encodingLength = 4
const flushOutcomeOf: readonly FlushOutcome[] = ['Fenced', 'Written', 'Refill']
/** A claim in the place of a verdict; JSON never begins with it. */
const claimMark = '\0'

/**
 * Never waits for a connection: while there is none, every method throws at once, and connecting is tried for ever, at
 * first after 50 ms, then at most every 2 s.
 * @throws AppError InvalidArgument where URL or certificates are unusable
 */
export function createRedisState(options: RedisStateOptions): RedisState {
  const { keyPrefix = '', encoding, log, onForeign } = options
  const { readMs = 200, writeMs = 1000, bulkMs = 5000, startMs = 2000 } = options
  const { profileTtlSeconds, featureTtlSeconds, maxFeatures } = options
  const { server, place, secure } = addressOf(options.url)
  const where = `Redis at ${place}`
  const client = new Redis({
    ...server,
    ...tlsOf(secure, options.tls),
    lazyConnect: true,
    connectTimeout: 2000,
    socketTimeout: options.silenceMs ?? 3000,
    // Nothing is queued while there is no connection, and what was under way fails with the connection.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => backoff(attempt, { baseMs: 50, maxMs: 2000 }),
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    connectionName: 'anomaly',
  }) as Client
  for (const [command, file] of Object.entries(scripts))
    client.defineCommand(command, { lua: readFileSync(new URL(`./${file}.lua`, import.meta.url), 'utf8') })

  let reason = 'not connected yet'
  let downSince = performance.now()
  let reported = false
  client.on('error', (error) => {
    reason = messageOf(error)
    if (reported) return
    reported = true
    log.warn({ error, redis: place }, 'Redis is unreachable')
  })
  client.on('ready', () => {
    if (reported) log.info({ redis: place }, 'Redis is reachable again')
    reported = false
    client.once('close', () => {
      reason = 'the connection was closed'
      downSince = performance.now()
    })
  })

  function problem(): string | undefined {
    if (client.status === 'ready') return undefined
    const seconds = Math.floor((performance.now() - downSince) / 1000)
    return `${where} is unreachable for ${seconds} s: ${reason}`
  }

  async function ask<T>(deadlineMs: number, command: () => Promise<T>): Promise<T> {
    const away = problem()
    if (away !== undefined) throw new AppError('Unavailable', away)
    try {
      return await within(deadlineMs, command(), `${where} did not answer within ${deadlineMs} ms`)
    } catch (error) {
      throw error instanceof AppError ? error : failureOf(where, error)
    }
  }

  const named = (name: string): string => keyPrefix + name
  const partitionName = (partition: number): string => named(`partition:${partition}`)
  const profileName = (partition: number, key: string): string => named(`profile:${partition}:${key}`)
  const featureName = (key: string): string => named(`feature:${key}`)
  const resultName = (eventId: string): string => named(`result:${eventId}`)
  const modelName = (version: string): string => named(`model:${version}`)
  const pointerName = named('model:current')

  function encoded(payload: Uint8Array): Buffer {
    const bytes = Buffer.allocUnsafe(encodingLength + payload.length)
    bytes.writeUInt32LE(encoding, 0)
    bytes.set(payload, encodingLength)
    return bytes
  }

  function decoded(what: 'profile' | 'partition', bytes: Buffer | null | undefined): Uint8Array | undefined {
    if (bytes == null) return undefined
    if (bytes.length >= encodingLength && bytes.readUInt32LE(0) === encoding) return bytes.subarray(encodingLength)
    onForeign?.(what)
    return undefined
  }

  /** Flushes of this process under an epoch: the last one sent and the last one that was answered. */
  interface Flushes {
    readonly epoch: number
    sent: number
    acknowledged: number
  }
  const flushesOf = new Map<number, Flushes>()

  const partitions: PartitionStore = {
    async take(partition) {
      const name = partitionName(partition)
      const [[seconds, micros], [epoch, state]] = await ask(readMs, () =>
        Promise.all([client.time(), client.hmgetBuffer(name, 'epoch', 'state')]),
      )
      const now = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
      const formerEpoch = epoch == null ? undefined : Number(epoch)
      return {
        epoch: formerEpoch === undefined ? now : Math.max(formerEpoch + 1, now),
        formerEpoch,
        state: decoded('partition', state),
      }
    },

    async loadPartition(partition) {
      return decoded('partition', await ask(readMs, () => client.hgetBuffer(partitionName(partition), 'state')))
    },

    async loadKeys(partition, keys) {
      const [found] = await partitions.loadKeysOf([[partition, keys]])
      return found!
    },

    async loadKeysOf(wanted) {
      const names = wanted.flatMap(([partition, keys]) => keys.map((key) => profileName(partition, key)))
      const found = names.length === 0 ? [] : await ask(readMs, () => client.mgetBuffer(names))
      let next = 0
      return wanted.map(([, keys]) => keys.map(() => decoded('profile', found[next++])))
    },

    async flush(partition, epoch, { keys, partition: state, features }) {
      let flushes = flushesOf.get(partition)
      if (flushes?.epoch !== epoch) {
        flushes = { epoch, sent: 0, acknowledged: 0 }
        flushesOf.set(partition, flushes)
      }
      const entries: FlushEntry[] = []
      for (const [key, payload] of keys)
        entries.push({ name: profileName(partition, key), value: encoded(payload), profile: true })
      for (const [key, json] of features ?? []) entries.push({ name: featureName(key), value: json, profile: false })
      const steps = [...batches(entries, sizeOfEntry)]
      if (steps.length === 0) steps.push([])
      let refill = false
      for (const [index, step] of steps.entries()) {
        const last = index === steps.length - 1
        const number = ++flushes.sent
        const names = [partitionName(partition), ...step.map((entry) => entry.name)]
        const args = [epoch, number, flushes.acknowledged, profileTtlSeconds, featureTtlSeconds].map(String)
        const profiles = step.reduce((sum, entry) => sum + (entry.profile ? 1 : 0), 0)
        const shared = last && state !== undefined ? encoded(state) : ''
        const values = step.map((entry) => entry.value)
        const code = (await ask(writeMs, () =>
          client.flush(names.length, names, args, [String(profiles), shared], values),
        )) as number
        const outcome = flushOutcomeOf[code]!
        if (outcome === 'Fenced') return outcome
        flushes.acknowledged = number
        refill ||= outcome === 'Refill'
      }
      return refill ? 'Refill' : 'Written'
    },
  }

  const features: FeatureStore = {
    names: () => ask(readMs, () => client.lrange(named('schema'), 0, -1)),
    extend: (names) =>
      ask(writeMs, () => client.extendNames(1, [named('schema')], [String(maxFeatures), ...names])) as Promise<
        string[]
      >,
    async last(keys) {
      if (keys.length === 0) return []
      const found = await ask(readMs, () => client.mget(keys.map(featureName)))
      return found.map((json) => json ?? undefined)
    },
  }

  const claim = claimMark + randomUUID()
  const results: ResultStore = {
    async claim(eventIds, ttlSeconds) {
      const claims: Claim[] = []
      for (const ids of batches(eventIds, Buffer.byteLength)) {
        const before = await ask(writeMs, () =>
          client.claimResults(ids.length, ids.map(resultName), [claim, String(ttlSeconds)]),
        )
        for (const stored of before as (string | null)[])
          claims.push(
            stored === null
              ? { type: 'Claimed' }
              : stored.startsWith(claimMark)
                ? { type: 'Pending' }
                : { type: 'Verdict', json: stored },
          )
      }
      return claims
    },
    async release(eventIds) {
      for (const ids of batches(eventIds, Buffer.byteLength))
        await ask(writeMs, () => client.releaseResults(ids.length, ids.map(resultName), [claim]))
    },
    async put(verdicts, ttlSeconds) {
      for (const step of batches(verdicts, ([id, json]) => Buffer.byteLength(id) + Buffer.byteLength(json))) {
        const names = step.map(([id]) => resultName(id))
        const jsons = step.map(([, json]) => json)
        await ask(writeMs, () => client.putResults(names.length, names, [String(ttlSeconds), claimMark], jsons))
      }
    },
    async get(eventId) {
      const stored = await ask(readMs, () => client.get(resultName(eventId)))
      return stored === null || stored.startsWith(claimMark) ? undefined : stored
    },
  }

  const reservoirName = (replica: string): string => named(`reservoir:${replica}`)
  const models: ModelStore = {
    async current() {
      const [version, rows, fitted] = await ask(readMs, () => client.hmget(pointerName, 'version', 'rows', 'fitted'))
      if (version == null) return undefined
      return { version, rowsSeen: Number(rows), ...(fitted ? { fittedAt: Number(fitted) } : {}) }
    },
    async get(version) {
      return (await ask(bulkMs, () => client.getBuffer(modelName(version)))) ?? undefined
    },
    async put(version, model) {
      await ask(bulkMs, () => client.set(modelName(version), bufferOf(model), 'EX', formerModelSeconds))
    },
    swap(expected, { version, rowsSeen, fittedAt }) {
      const names = [pointerName, modelName(version), modelName(expected ?? version)]
      const args = [expected ?? '', version, String(rowsSeen), String(formerModelSeconds), String(fittedAt ?? '')]
      return ask(writeMs, () => client.swapModel(names.length, names, args)) as Promise<SwapOutcome>
    },
    async putReservoir(replica, reservoir) {
      await ask(bulkMs, () =>
        Promise.all([
          client.set(reservoirName(replica), bufferOf(reservoir), 'EX', reservoirSeconds),
          client.sadd(named('reservoirs'), replica),
        ]),
      )
    },
    async reservoirs() {
      const replicas = (await ask(readMs, () => client.smembers(named('reservoirs')))).sort()
      const stored = new Map<string, Uint8Array>()
      for (const replica of replicas) {
        const bytes = await ask(bulkMs, () => client.getBuffer(reservoirName(replica)))
        if (bytes === null) await ask(writeMs, () => client.srem(named('reservoirs'), replica))
        else stored.set(replica, bytes)
      }
      return stored
    },
    async lock(ttlSeconds) {
      const token = randomUUID()
      const name = named('model:lock')
      const taken = await ask(writeMs, () => client.set(name, token, 'EX', ttlSeconds, 'NX'))
      if (taken === null) return undefined
      return {
        release: async () => {
          await ask(writeMs, () => client.releaseLock(1, [name], [token]))
        },
      }
    },
  }

  return {
    name: 'redis',
    partitions,
    features,
    results,
    models,
    problem,
    async start(signal) {
      client.connect().catch(() => {})
      await firstReady(client, startMs, signal)
    },
    async stop() {
      if (client.status !== 'ready') return client.disconnect()
      await ask(writeMs, () => client.quit()).catch(() => client.disconnect())
    },
  }
}

interface FlushEntry {
  readonly name: string
  readonly value: Value
  readonly profile: boolean
}

function sizeOfEntry({ name, value }: FlushEntry): number {
  return Buffer.byteLength(name) + Buffer.byteLength(value)
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function firstReady(client: Redis, timeoutMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      client.off('ready', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, timeoutMs)
    client.on('ready', done)
    signal.addEventListener('abort', done)
  })
}

interface Address {
  readonly secure: boolean
  /** For people. */
  readonly place: string
  readonly server: Pick<RedisOptions, 'host' | 'port' | 'sentinels' | 'name' | 'db' | 'username' | 'password'>
}

/** Scheme, user, password, hosts with or without ports, path. */
const addressPattern =
  /^redis(?<secure>s?)(?<sentinel>\+sentinel)?:\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^@/?#]+)(?<path>\/[^?#]*)?$/

/** @throws AppError InvalidArgument, which does not repeat the address: it may hold a password */
function addressOf(text: string): Address {
  const refuse = (reason: string) =>
    new AppError(
      'InvalidArgument',
      `Cannot use the address of Redis: ${reason}; it looks like rediss://user:password@host:6379/0`,
    )
  const parts = addressPattern.exec(text)?.groups
  if (parts === undefined) throw refuse('it is not such a URL')
  const { user = '', password = '', hosts = '', path = '' } = parts
  const isSentinel = parts.sentinel !== undefined
  const nodes = hosts.split(',').map((node) => {
    const found = /^(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<host>[^:[\]]+))(?::(?<port>\d{1,5}))?$/.exec(node)?.groups
    if (found === undefined) throw refuse('its host is not a name or an address')
    return { host: (found.v6 ?? found.host)!, port: Number(found.port ?? (isSentinel ? 26379 : 6379)) }
  })
  if (nodes.length > 1 && !isSentinel) throw refuse('several hosts are for redis+sentinel://')
  const [name = '', ...rest] = isSentinel ? path.slice(1).split('/') : ['', ...path.slice(1).split('/')]
  if (isSentinel && name === '') throw refuse('redis+sentinel:// needs the name of the server as its path')
  const db = rest[0] === undefined || rest[0] === '' ? '0' : rest[0]
  if (rest.length > 1 || !/^\d{1,5}$/.test(db)) throw refuse('its path is not the number of a database')
  return {
    secure: parts.secure === 's',
    place: isSentinel ? `${name} of Sentinel ${hosts}` : `${nodes[0]!.host}:${nodes[0]!.port}`,
    server: {
      ...(isSentinel ? { sentinels: nodes, name } : nodes[0]!),
      db: Number(db),
      ...(user === '' ? {} : { username: decoded(user) }),
      ...(password === '' ? {} : { password: decoded(password) }),
    },
  }

  function decoded(part: string): string {
    try {
      return decodeURIComponent(part)
    } catch {
      throw refuse('its user or password has a % that begins no escape')
    }
  }
}

/** @throws AppError InvalidArgument */
function tlsOf(
  secure: boolean,
  tls: RedisStateOptions['tls'],
): Pick<RedisOptions, 'tls' | 'sentinelTLS' | 'enableTLSForSentinelMode'> {
  if (tls === undefined && !secure) return {}
  const pem = Object.fromEntries(Object.entries(tls ?? {}).filter(([, text]) => text !== undefined))
  try {
    createSecureContext(pem)
  } catch (cause) {
    throw new AppError('InvalidArgument', `Cannot use the certificates for Redis: ${messageOf(cause)}`, { cause })
  }
  return { tls: pem, sentinelTLS: pem, enableTLSForSentinelMode: true }
}

/** Redis refuses for now: it loads its data, lost its primary, became a replica, or its memory is full. */
const passing = /^(LOADING|MASTERDOWN|READONLY|BUSY|OOM|TRYAGAIN|NOREPLICAS|MISCONF) ?/
const unauthorized = /^(NOAUTH|WRONGPASS|NOPERM) ?/

function failureOf(where: string, cause: unknown): AppError {
  const message = messageOf(cause)
  if (!(cause instanceof ReplyError))
    return new AppError('Unavailable', `${where} is unreachable: ${message}`, { cause })
  const code = passing.test(message) ? 'Unavailable' : unauthorized.test(message) ? 'Unauthorized' : 'Internal'
  return new AppError(code, `${where} refused: ${message}`, { cause })
}
