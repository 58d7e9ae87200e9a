import { batches } from './batches.ts'
import type { RedisConnection, Value } from './redis-connection.ts'
import { featureName } from './redis-features.ts'
import { type FlushOutcome, mostRiskyValues, type PartitionStore } from './state.ts'

export interface RedisPartitionsOptions {
  readonly keyPrefix: string
  /** How the payloads of keys and partitions are laid out: an unsigned 32-bit number. Those stored under another one are not read. */
  readonly encoding: number
  readonly profileTtlSeconds: number
  readonly featureTtlSeconds: number
  /** A payload was found that another version of the program wrote. */
  readonly onForeign?: ((what: 'profile' | 'partition') => void) | undefined
}

const encodingLength = 4
const flushOutcomeOf: readonly FlushOutcome[] = ['Fenced', 'Written', 'Refill']

/** Flushes of this process under an epoch: the last one sent and the last one that was answered. */
interface Flushes {
  readonly epoch: number
  sent: number
  acknowledged: number
}

/**
 * Profiles and partitions: `profile:<partition>:<key>`, and a hash `partition:<partition>` with epoch, flush, and state.
 * Of secondary keys a hash `secondary:<field>:<value>` with the partial of each partition, and a sorted set `secondary`
 * of the values that have a risky one, by the time of its last flush.
 */
export function createRedisPartitions(connection: RedisConnection, options: RedisPartitionsOptions): PartitionStore {
  const { keyPrefix, encoding, profileTtlSeconds, featureTtlSeconds, onForeign } = options
  const partitionName = (partition: number): string => `${keyPrefix}partition:${partition}`
  const profileName = (partition: number, key: string): string => `${keyPrefix}profile:${partition}:${key}`
  const valuePrefix = `${keyPrefix}secondary:`
  const riskyName = `${keyPrefix}secondary`
  const flushesOf = new Map<number, Flushes>()

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

  const partitions: PartitionStore = {
    async take(partition) {
      const name = partitionName(partition)
      const [[seconds, micros], [epoch, state]] = await connection.read((client) =>
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
      return decoded(
        'partition',
        await connection.read((client) => client.hgetBuffer(partitionName(partition), 'state')),
      )
    },

    async loadKeys(partition, keys) {
      const [found] = await partitions.loadKeysOf([[partition, keys]])
      return found!
    },

    async loadKeysOf(wanted) {
      const names = wanted.flatMap(([partition, keys]) => keys.map((key) => profileName(partition, key)))
      const found = names.length === 0 ? [] : await connection.read((client) => client.mgetBuffer(names))
      let next = 0
      return wanted.map(([, keys]) => keys.map(() => decoded('profile', found[next++])))
    },

    async loadPartials(names) {
      if (names.length === 0) return []
      const found = await connection.read(async (client) => {
        const pipeline = client.pipeline()
        for (const name of names) pipeline.hgetallBuffer(valuePrefix + name)
        return (await pipeline.exec()) ?? []
      })
      return found.map(([error, partials]) => {
        if (error !== null) throw error
        const known = new Map<number, Uint8Array>()
        for (const [partition, bytes] of Object.entries(partials as Record<string, Buffer>)) {
          const payload = decoded('profile', bytes)
          if (payload !== undefined) known.set(Number(partition), payload)
        }
        return known
      })
    },

    async riskySince(time) {
      const [[seconds], names] = await connection.read((client) =>
        Promise.all([client.time(), client.zrangebyscore(riskyName, time, '+inf')]),
      )
      return { at: 1000 * Number(seconds), names }
    },

    async flush(partition, epoch, { keys, partition: state, features, partials }) {
      let flushes = flushesOf.get(partition)
      if (flushes?.epoch !== epoch) {
        flushes = { epoch, sent: 0, acknowledged: 0 }
        flushesOf.set(partition, flushes)
      }
      const entries: FlushEntry[] = []
      for (const [key, payload] of keys)
        entries.push({ name: profileName(partition, key), value: encoded(payload), kind: 'profile' })
      for (const [key, json] of features ?? [])
        entries.push({ name: featureName(keyPrefix, key), value: json, kind: 'feature' })
      for (const kind of ['calm', 'risky'] as const)
        for (const [value, { payload, isRisky }] of partials ?? [])
          if (isRisky === (kind === 'risky')) entries.push({ name: valuePrefix + value, value: encoded(payload), kind })
      const steps = [...batches(entries, sizeOfEntry)]
      if (steps.length === 0) steps.push([])
      let refill = false
      for (const [index, step] of steps.entries()) {
        const last = index === steps.length - 1
        const number = ++flushes.sent
        const names = [partitionName(partition), riskyName, ...step.map((entry) => entry.name)]
        const ends = [endOf('profile', step), endOf('feature', step), endOf('calm', step)]
        const args = [epoch, number, flushes.acknowledged, profileTtlSeconds, featureTtlSeconds, ...ends].map(String)
        const shared = last && state !== undefined ? encoded(state) : ''
        const values = step.map((entry) => entry.value)
        const code = (await connection.write((client) =>
          client.flush(
            names.length,
            names,
            args,
            [shared, String(partition), valuePrefix, String(mostRiskyValues)],
            values,
          ),
        )) as number
        const outcome = flushOutcomeOf[code]!
        if (outcome === 'Fenced') return outcome
        flushes.acknowledged = number
        refill ||= outcome === 'Refill'
      }
      return refill ? 'Refill' : 'Written'
    },
  }
  return partitions
}

interface FlushEntry {
  readonly name: string
  readonly value: Value
  readonly kind: (typeof kinds)[number]
}

/** In this order they are written. */
const kinds = ['profile', 'feature', 'calm', 'risky'] as const

/** How many entries are of this kind or one that is written before it. */
function endOf(kind: FlushEntry['kind'], entries: readonly FlushEntry[]): number {
  return entries.findLastIndex((entry) => kinds.indexOf(entry.kind) <= kinds.indexOf(kind)) + 1
}

function sizeOfEntry({ name, value }: FlushEntry): number {
  return Buffer.byteLength(name) + Buffer.byteLength(value)
}
