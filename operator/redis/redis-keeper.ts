import { messageOf } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { type Clock, sleep } from '../../lib/time.ts'
import { ports } from '../desired/child.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { decideOfPair, type RedisRecord, type SeenServer } from './redis-pair.ts'
import { readInfo, withRedis } from './redis-server.ts'

export interface RedisKeeperOptions {
  readonly log: Logger
  readonly clock: Clock
  /** The record as the cluster has it: what is not there was not decided. */
  readonly recordOf: (key: string) => RedisRecord | undefined
  readonly podsOf: (key: string) => readonly KubeObject[]
  readonly passwordOf: (key: string) => string | undefined
  /** Asked before each command that changes something. */
  readonly mayWrite: () => boolean
  /** Called when the record should be another. */
  readonly changed: (key: string) => void
  readonly intervalMs?: number | undefined
  readonly addressOf?: ((pod: KubeObject) => string | undefined) | undefined
}

/** Which pods a pair has, and which of them is to be the only one, if any. */
export interface KeptPair {
  readonly pods: readonly [string, string]
  readonly home?: string | undefined
}

export interface RedisKeeper {
  follow(key: string, pair: KeptPair | undefined): void
  /** The record as it should be; undefined while nothing else than the cluster's own is known. */
  read(key: string): RedisRecord | undefined
  stop(): void
}

interface Entry {
  readonly end: AbortController
  pair: KeptPair
  wanted?: RedisRecord
  /** Who has been away, and since when. */
  away?: 'primary' | 'other' | undefined
  awaySince: number
}

/** Sees to it that of the two servers of a pipeline one leads and the other follows, beside the reconciles. */
export function createRedisKeeper(options: RedisKeeperOptions): RedisKeeper {
  const { log, clock, recordOf, podsOf, passwordOf, mayWrite, changed, intervalMs = 1000 } = options
  const { addressOf = podAddress } = options
  const kept = new Map<string, Entry>()

  async function look(key: string, { pods }: KeptPair, password: string): Promise<[SeenServer, SeenServer]> {
    const found = new Map(podsOf(key).map((pod) => [pod.metadata.name, pod]))
    const servers = pods.map(async (pod): Promise<SeenServer> => {
      const object = found.get(pod)
      const address = object && addressOf(object)
      if (address === undefined) return { pod }
      const info = await withRedis(serverAt(address, password), readInfo).catch(() => undefined)
      return { pod, address, info }
    })
    return (await Promise.all(servers)) as [SeenServer, SeenServer]
  }

  async function step(key: string, entry: Entry): Promise<void> {
    const [record, password] = [recordOf(key), passwordOf(key)]
    if (record === undefined || password === undefined) return
    const servers = await look(key, entry.pair, password)
    const primary = servers.find(({ pod }) => pod === record.primary)
    const other = servers.find(({ pod }) => pod !== record.primary)
    const now = clock.monotonic()
    const away = awayOf(primary, other)
    if (away !== entry.away) Object.assign(entry, { away, awaySince: now })
    const apartMs = away === undefined ? 0 : now - entry.awaySince
    const decision = decideOfPair({ record, servers, apartMs, home: entry.pair.home })
    for (const { pod, commands } of decision.orders) {
      const { address } = servers.find((server) => server.pod === pod)!
      if (address === undefined || !mayWrite()) return
      log.info({ pipeline: key, pod, commands: commands.map((words) => words.join(' ')) }, 'Redis is told its part')
      await withRedis(serverAt(address, password), async (ask) => {
        // Before it follows, or is asked to hand over.
        await ask('CONFIG', 'SET', 'masterauth', password)
        for (const command of commands) await ask(...command)
      })
    }
    const before = entry.wanted ?? record
    entry.wanted = decision.record
    if (!isSame(before, decision.record) || !isSame(record, decision.record)) changed(key)
  }

  async function work(key: string, entry: Entry): Promise<void> {
    const { signal } = entry.end
    while (!signal.aborted) {
      await step(key, entry).catch((error: unknown) =>
        log.warn({ pipeline: key, error: messageOf(error) }, 'Redis did not take its part; it is told again'),
      )
      await sleep(intervalMs, { clock, signal })
    }
  }

  return {
    follow(key, pair) {
      const entry = kept.get(key)
      if (pair === undefined) {
        entry?.end.abort()
        kept.delete(key)
      } else if (entry !== undefined) entry.pair = pair
      else {
        const begun: Entry = { end: new AbortController(), pair, awaySince: 0 }
        kept.set(key, begun)
        void work(key, begun)
      }
    },
    read: (key) => kept.get(key)?.wanted,
    stop() {
      for (const { end } of kept.values()) end.abort()
      kept.clear()
    },
  }
}

/** A primary that the other still hears from is not away, whoever else cannot reach it. */
function awayOf(primary: SeenServer | undefined, other: SeenServer | undefined): Entry['away'] {
  if (primary?.info === undefined) return other?.info?.isLinked === false ? 'primary' : undefined
  return other?.info === undefined ? 'other' : undefined
}

const isSame = (a: RedisRecord, b: RedisRecord): boolean => a.primary === b.primary && a.inSync === b.inSync

function serverAt(address: string, password: string) {
  const at = address.lastIndexOf(':')
  return { host: address.slice(0, at), port: Number(address.slice(at + 1)), password }
}

/** Of a pod that is about to end as well: it may still lead. */
function podAddress({ status }: KubeObject): string | undefined {
  const { podIP } = (status ?? {}) as { readonly podIP?: string }
  return podIP === undefined ? undefined : `${podIP}:${ports.redis}`
}
