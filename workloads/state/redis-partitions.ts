import { batches } from './batches.ts'
import type { RedisConnection, Value } from './redis-connection.ts'
import { featureName } from './redis-features.ts'
import type { FlushOutcome, PartitionStore } from './state.ts'

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

/** Profiles and partitions: `profile:<partition>:<key>`, and a hash `partition:<partition>` with epoch, flush, and state. */
export function createRedisPartitions(connection: RedisConnection, options: RedisPartitionsOptions): PartitionStore {
  const { keyPrefix, encoding, profileTtlSeconds, featureTtlSeconds, onForeign } = options
  const partitionName = (partition: number): string => `${keyPrefix}partition:${partition}`
  const profileName = (partition: number, key: string): string => `${keyPrefix}profile:${partition}:${key}`
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

    async flush(partition, epoch, { keys, partition: state, features }) {
      let flushes = flushesOf.get(partition)
      if (flushes?.epoch !== epoch) {
        flushes = { epoch, sent: 0, acknowledged: 0 }
        flushesOf.set(partition, flushes)
      }
      const entries: FlushEntry[] = []
      for (const [key, payload] of keys)
        entries.push({ name: profileName(partition, key), value: encoded(payload), profile: true })
      for (const [key, json] of features ?? [])
        entries.push({ name: featureName(keyPrefix, key), value: json, profile: false })
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
        const code = (await connection.write((client) =>
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
  return partitions
}

interface FlushEntry {
  readonly name: string
  readonly value: Value
  readonly profile: boolean
}

function sizeOfEntry({ name, value }: FlushEntry): number {
  return Buffer.byteLength(name) + Buffer.byteLength(value)
}
