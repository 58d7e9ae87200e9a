import { readFileSync } from 'node:fs'
import { Redis, ReplyError } from 'ioredis'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import { backoff, within } from '../../lib/time.ts'
import { type RedisTls, redisAddressOf, redisTlsOf } from './redis-address.ts'

export interface RedisConnectionOptions {
  /**
   * redis:// or rediss://[user:password@]host[:port][/database], or where Sentinels know the server:
   * redis+sentinel:// or rediss+sentinel://[user:password@]host[:port][,host[:port]...]/name[/database]
   */
  readonly url: string
  /** Given, it turns TLS on whatever the URL says. */
  readonly tls?: RedisTls | undefined
  /** 2: a second server has what this one has, and may take its place. */
  readonly replicas?: number | undefined
  readonly log: Logger
  /** Deadlines in ms: of a read, of each step of a write, of a model or reservoir. */
  readonly readMs?: number | undefined
  readonly writeMs?: number | undefined
  readonly bulkMs?: number | undefined
  /** A connection on which a question stays unanswered for so long, in ms, is given up. */
  readonly silenceMs?: number | undefined
  /** How long `start` waits for the first connection before it leaves that to the background, in ms. */
  readonly startMs?: number | undefined
}

export type Value = string | Buffer
/** A Lua script beside this file, as a command: number of keys, keys, arguments. */
type Script = (keys: number, ...args: (readonly Value[])[]) => Promise<unknown>
const scripts = {
  flush: 'flush',
  extendNames: 'extend-names',
  forgetNames: 'forget-names',
  useNames: 'use-names',
  claimResults: 'claim-results',
  releaseResults: 'release-results',
  putResults: 'put-results',
  putSaid: 'put-said',
  swapModel: 'swap-model',
  releaseLock: 'release-lock',
} as const
export type RedisClient = Redis & Readonly<Record<keyof typeof scripts, Script>>

type Command<T> = (client: RedisClient) => Promise<T>

/** One connection to one server. Each question has its deadline, and fails at once while there is no connection. */
export interface RedisConnection extends Required<Part> {
  read<T>(command: Command<T>): Promise<T>
  write<T>(command: Command<T>): Promise<T>
  /** A write that a fail-over must not undo: answered when the second server has it, where there is one. */
  writeForGood<T>(command: Command<T>): Promise<T>
  /** Of a model or a reservoir. */
  bulk<T>(command: Command<T>): Promise<T>
  /** Why there is no connection, in words, or undefined. */
  problem(): string | undefined
}

/**
 * Connecting is tried for ever, at first after 50 ms, then at most every 2 s.
 * @throws AppError InvalidArgument where URL or certificates are unusable
 */
export function createRedisConnection(options: RedisConnectionOptions): RedisConnection {
  const { log, readMs = 200, writeMs = 1000, bulkMs = 5000, startMs = 2000 } = options
  const { server, place, secure } = redisAddressOf(options.url)
  const where = `Redis at ${place}`
  const client = new Redis({
    ...server,
    ...redisTlsOf(secure, options.tls),
    lazyConnect: true,
    connectTimeout: 2000,
    socketTimeout: options.silenceMs ?? 3000,
    // Nothing is queued while there is no connection, and what was under way fails with the connection.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => backoff(attempt, { baseMs: 50, maxMs: 2000 }),
    // It leads no longer: another does, at the same address.
    reconnectOnError: (error) => error.message.startsWith('READONLY') || error.message.startsWith('NOREPLICAS'),
    connectionName: 'anomaly',
  }) as RedisClient
  for (const [command, file] of Object.entries(scripts))
    client.defineCommand(command, { lua: readFileSync(new URL(`./${file}.lua`, import.meta.url), 'utf8') })

  let reason = 'not connected yet'
  let downSince = performance.now()
  let reported = false
  client.on('error', (error) => {
    reason = messageOf(error)
    if (reported) return
    reported = true
    log.warn({ error: withoutCommand(error), redis: place }, 'Redis is unreachable')
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

  async function ask<T>(deadlineMs: number, command: Command<T>): Promise<T> {
    const away = problem()
    if (away !== undefined) throw new AppError('Unavailable', away, { server: 'state' })
    try {
      return await within(deadlineMs, command(client), `${where} did not answer within ${deadlineMs} ms`)
    } catch (error) {
      throw error instanceof AppError ? error : failureOf(where, error)
    }
  }

  /** Until then there is no second server that might lead. */
  let aloneUntil = Number.NEGATIVE_INFINITY

  /** A server that insists on its replica says how many it has: without one, another may lead before this was copied. */
  async function confirm(): Promise<void> {
    if (performance.now() < aloneUntil) return
    const isCopied = await ask(writeMs, async (one) => (await one.wait(1, Math.floor(writeMs / 4))) > 0)
    if (isCopied) return
    const replication = await ask(writeMs, (one) => one.info('replication'))
    if (replication.includes('min_slaves_good_slaves'))
      throw new AppError('Unavailable', `${where}: the replica did not confirm a write`, { server: 'state' })
    aloneUntil = performance.now() + aloneMs
  }

  return {
    name: 'redis',
    read: (command) => ask(readMs, command),
    write: (command) => ask(writeMs, command),
    async writeForGood(command) {
      const written = await ask(writeMs, command)
      if ((options.replicas ?? 1) > 1) await confirm()
      return written
    },
    bulk: (command) => ask(bulkMs, command),
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

/** A server without a replica is not asked to wait for one with each write. Nobody takes over so soon after one came. */
const aloneMs = 1000

/** Redis refuses for now: it loads its data, lost its primary, became a replica, or its memory is full. */
const passing = /^(LOADING|MASTERDOWN|READONLY|BUSY|OOM|TRYAGAIN|NOREPLICAS|MISCONF) ?/
const unauthorized = /^(NOAUTH|WRONGPASS|NOPERM) ?/

/** A refusal carries its command with all arguments: AUTH's are user and password, and others are people's data. */
function withoutCommand(error: unknown): unknown {
  if (error instanceof ReplyError) delete (error as { command?: unknown }).command
  return error
}

function failureOf(where: string, error: unknown): AppError {
  const cause = withoutCommand(error)
  const message = messageOf(cause)
  if (!(cause instanceof ReplyError))
    return new AppError('Unavailable', `${where} is unreachable: ${message}`, { cause, server: 'state' })
  const code = passing.test(message) ? 'Unavailable' : unauthorized.test(message) ? 'Unauthorized' : 'Internal'
  return new AppError(code, `${where} refused: ${message}`, { cause, server: 'state' })
}
