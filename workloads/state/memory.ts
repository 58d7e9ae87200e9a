import { randomUUID } from 'node:crypto'
import { keptOf, type ModelRecord } from '../detection/model-record.ts'
import { KnownNames } from './known-names.ts'
import { createMemorySaid } from './said.ts'
import {
  candidateSeconds,
  formerModelSeconds,
  type ModelPointer,
  type PartitionChanges,
  reservoirSeconds,
  type StateStore,
  type TakenPartition,
} from './state.ts'

export interface MemoryStateOptions {
  readonly profileTtlSeconds: number
  readonly featureTtlSeconds: number
  readonly maxFeatures: number
  /** Milliseconds since 1970. */
  readonly now: () => number
}

interface MemoryPartition {
  epoch: number | undefined
  state: Uint8Array | undefined
}

/** State of one process, gone with it. Several owners may share it, as they would share a server. */
export function createMemoryState(options: MemoryStateOptions): StateStore {
  const { profileTtlSeconds, featureTtlSeconds, maxFeatures, now } = options
  const partitions = new Map<number, MemoryPartition>()
  const profiles = new ExpiringMap<Uint8Array>(now)
  const partials = new ExpiringMap<Map<number, Uint8Array>>(now)
  const risky = new Map<string, number>()
  const lastFeatures = new ExpiringMap<string>(now)
  const known = new KnownNames({ maxFeatures })
  /** Without JSON: a claim. */
  const results = new ExpiringMap<{ readonly fingerprint: string | undefined; readonly json: string | undefined }>(now)
  const models = new ExpiringMap<Uint8Array>(now)
  const reservoirs = new ExpiringMap<Uint8Array>(now)
  const locks = new ExpiringMap<string>(now)
  let current: ModelPointer | undefined
  let records: readonly ModelRecord[] = []

  function partitionOf(partition: number): MemoryPartition {
    let found = partitions.get(partition)
    if (found === undefined) {
      found = { epoch: undefined, state: undefined }
      partitions.set(partition, found)
    }
    return found
  }

  const loadKeys = async (partition: number, keys: readonly string[]) =>
    keys.map((key) => profiles.get(`${partition}:${key}`))

  return {
    problem: () => undefined,
    said: createMemorySaid(),
    partitions: {
      async take(partition): Promise<TakenPartition> {
        const { epoch, state } = partitionOf(partition)
        return { epoch: Math.max((epoch ?? 0) + 1, now()), formerEpoch: epoch, state }
      },
      async loadPartition(partition) {
        return partitionOf(partition).state
      },
      loadKeys,
      loadKeysOf: (wanted) => Promise.all(wanted.map(([partition, keys]) => loadKeys(partition, keys))),
      async loadPartials(names) {
        return names.map((name) => new Map(partials.get(name)))
      },
      async riskySince(time) {
        const names = [...risky].flatMap(([name, at]) => (at >= time ? [name] : []))
        return { at: now(), names }
      },
      async flush(partition, epoch, changes: PartitionChanges) {
        const stored = partitionOf(partition)
        const former = stored.epoch
        if (former !== undefined && former > epoch) return 'Fenced'
        stored.epoch = epoch
        if (changes.partition !== undefined) stored.state = changes.partition.slice()
        for (const [key, payload] of changes.keys)
          profiles.set(`${partition}:${key}`, payload.slice(), profileTtlSeconds)
        for (const [key, json] of changes.features ?? []) lastFeatures.set(key, json, featureTtlSeconds)
        for (const [name, { payload, isRisky }] of changes.partials ?? []) {
          const all = partials.get(name) ?? new Map<number, Uint8Array>()
          partials.set(name, all.set(partition, payload.slice()), profileTtlSeconds)
          if (isRisky) risky.set(name, now())
        }
        return former === undefined ? 'Refill' : 'Written'
      },
    },
    features: {
      names: async () => known.names,
      extend: async (wanted) => known.extend(wanted, now()),
      forget: async (given) => known.forget(given),
      use: async (used, ttlMs) => known.use(used, ttlMs, now()),
      async last(keys) {
        return keys.map((key) => lastFeatures.get(key))
      },
    },
    results: {
      async claim(events, ttlSeconds) {
        return events.map(({ eventId, fingerprint }) => {
          const found = results.get(eventId)
          if (found === undefined) {
            results.set(eventId, { fingerprint, json: undefined }, ttlSeconds)
            return { type: 'Claimed' }
          }
          return found.json === undefined
            ? { type: 'Pending', fingerprint: found.fingerprint }
            : { type: 'Verdict', json: found.json, fingerprint: found.fingerprint }
        })
      },
      async live() {},
      async release(eventIds) {
        for (const id of eventIds) if (results.get(id)?.json === undefined) results.delete(id)
      },
      async put(verdicts, ttlSeconds) {
        for (const { eventId, json, fingerprint } of verdicts)
          if (results.get(eventId)?.json === undefined) results.set(eventId, { fingerprint, json }, ttlSeconds)
      },
      async get(eventId) {
        return results.get(eventId)?.json
      },
    },
    models: {
      async current() {
        return current
      },
      async get(version) {
        return models.get(version)
      },
      async put(version, model) {
        models.set(version, model.slice(), candidateSeconds)
      },
      async keep(version) {
        const model = models.get(version)
        if (model !== undefined) models.set(version, model, Number.POSITIVE_INFINITY)
      },
      async records() {
        return records.filter(({ version }) => models.has(version))
      },
      async putRecord(record, inUse) {
        const all = [record, ...records.filter(({ version }) => version !== record.version)]
        records = keptOf(all, inUse)
        for (const one of all) if (!records.includes(one)) models.delete(one.version)
      },
      async swap(expected, next) {
        if (current?.version !== expected) return 'Conflict'
        if (current !== undefined && next.rowsSeen < current.rowsSeen) return 'FewerRows'
        const model = models.get(next.version)
        if (model === undefined) return 'Missing'
        const former = current === undefined ? undefined : models.get(current.version)
        if (former !== undefined) models.set(current!.version, former, formerModelSeconds)
        models.set(next.version, model, Number.POSITIVE_INFINITY)
        current = next
        return 'Swapped'
      },
      async putReservoir(replica, reservoir) {
        reservoirs.set(replica, reservoir.slice(), reservoirSeconds)
      },
      async reservoirs() {
        return new Map([...reservoirs.entries()].sort(([a], [b]) => (a < b ? -1 : 1)))
      },
      async lock(ttlSeconds) {
        const token = randomUUID()
        if (locks.has('fit')) return undefined
        locks.set('fit', token, ttlSeconds)
        return {
          async release() {
            if (locks.get('fit') === token) locks.delete('fit')
          },
        }
      },
    },
  }
}

/** A map whose entries are gone when their time is over. */
class ExpiringMap<V> {
  readonly #now: () => number
  readonly #entries = new Map<string, { readonly value: V; readonly until: number }>()

  constructor(now: () => number) {
    this.#now = now
  }

  #live(key: string): { readonly value: V } | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined || entry.until > this.#now()) return entry
    this.#entries.delete(key)
    return undefined
  }

  has(key: string): boolean {
    return this.#live(key) !== undefined
  }

  get(key: string): V | undefined {
    return this.#live(key)?.value
  }

  set(key: string, value: V, seconds: number): void {
    this.#entries.set(key, { value, until: this.#now() + seconds * 1000 })
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  *entries(): Generator<[string, V]> {
    for (const key of [...this.#entries.keys()]) {
      const entry = this.#live(key)
      if (entry !== undefined) yield [key, entry.value]
    }
  }
}
