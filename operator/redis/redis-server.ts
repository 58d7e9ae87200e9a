import { Redis } from 'ioredis'
import type { RedisInfo } from './redis-pair.ts'

export interface RedisServer {
  readonly host: string
  readonly port: number
  readonly password: string
}

type Ask = (...command: readonly string[]) => Promise<unknown>

/** A connection for a few commands: what does not answer soon counts as away. */
export async function withRedis<T>(server: RedisServer, work: (ask: Ask) => Promise<T>): Promise<T> {
  const client = new Redis({
    ...server,
    lazyConnect: true,
    connectTimeout: 1000,
    commandTimeout: 1000,
    enableReadyCheck: false,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectionName: 'anomaly-operator',
  })
  client.on('error', () => {})
  try {
    await client.connect()
    return await work((name, ...args) => client.call(name!, ...args))
  } finally {
    client.disconnect()
  }
}

/** Seconds without a word after which a link counts as down. The two sides ask one another every second. */
const silentSeconds = 4

export async function readInfo(ask: Ask): Promise<RedisInfo> {
  const [replication, persistence, min, size] = await Promise.all([
    ask('INFO', 'replication'),
    ask('INFO', 'persistence'),
    ask('CONFIG', 'GET', 'min-replicas-to-write'),
    // While it loads it does not say.
    ask('DBSIZE').catch(() => 0),
  ])
  const fields = fieldsOf(`${replication}\n${persistence}`)
  // A copy for a backup is a replica too, for a moment.
  const lags = Array.from(fields, ([name, text]) => /^slave\d+$/.test(name) && /state=online,.*lag=(\d+)/.exec(text))
  return {
    role: fields.get('role') === 'master' ? 'master' : 'slave',
    isLoading: fields.get('loading') === '1',
    follows: `${fields.get('master_host') ?? ''}:${fields.get('master_port') ?? ''}`,
    isLinked:
      fields.get('master_link_status') === 'up' &&
      Number(fields.get('master_last_io_seconds_ago') ?? Number.POSITIVE_INFINITY) < silentSeconds,
    isFollowed: lags.some((found) => found && Number(found[1]) < silentSeconds),
    minReplicas: Number((min as readonly string[])[1]),
    keys: Number(size),
  }
}

const fieldsOf = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text.split(/\r?\n/).flatMap((line) => {
      const at = line.indexOf(':')
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const]
    }),
  )
