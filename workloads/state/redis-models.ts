import { randomUUID } from 'node:crypto'
import { keptOf, type ModelRecord } from '../detection/model-record.ts'
import type { RedisConnection } from './redis-connection.ts'
import { candidateSeconds, formerModelSeconds, type ModelStore, reservoirSeconds, type SwapOutcome } from './state.ts'

/**
 * `model:<version>`, the pointer `model:current`, the list `model:records` (JSON, newest first), `reservoir:<replica>`, and
 * the set `reservoirs` of replicas.
 */
export function createRedisModels(
  connection: RedisConnection,
  { keyPrefix }: { readonly keyPrefix: string },
): ModelStore {
  const named = (name: string): string => keyPrefix + name
  const modelName = (version: string): string => named(`model:${version}`)
  const reservoirName = (replica: string): string => named(`reservoir:${replica}`)
  const pointerName = named('model:current')
  const recordsName = named('model:records')
  const readRecords = async (): Promise<readonly ModelRecord[]> => {
    const lines = await connection.bulk((client) => client.lrange(recordsName, 0, -1))
    return lines.map((line) => JSON.parse(line) as ModelRecord)
  }
  return {
    async current() {
      const [version, rows, fitted] = await connection.read((client) =>
        client.hmget(pointerName, 'version', 'rows', 'fitted'),
      )
      if (version == null) return undefined
      return { version, rowsSeen: Number(rows), ...(fitted ? { fittedAt: Number(fitted) } : {}) }
    },
    async get(version) {
      return (await connection.bulk((client) => client.getBuffer(modelName(version)))) ?? undefined
    },
    async put(version, model) {
      await connection.bulk((client) => client.set(modelName(version), bufferOf(model), 'EX', candidateSeconds))
    },
    async keep(version) {
      await connection.write((client) => client.persist(modelName(version)))
    },
    async records() {
      const all = await readRecords()
      const stored = await Promise.all(
        all.map(({ version }) => connection.read((client) => client.exists(modelName(version)))),
      )
      return all.filter((_, i) => stored[i] === 1)
    },
    async putRecord(record, inUse) {
      const all = [record, ...(await readRecords()).filter(({ version }) => version !== record.version)]
      const stay = keptOf(all, inUse)
      const gone = all.filter((one) => !stay.includes(one))
      await connection.bulk((client) => {
        const change = client.multi().del(recordsName)
        change.rpush(recordsName, ...stay.map((one) => JSON.stringify(one)))
        if (gone.length > 0) change.del(...gone.map(({ version }) => modelName(version)))
        return change.exec()
      })
    },
    swap(expected, { version, rowsSeen, fittedAt }) {
      const names = [pointerName, modelName(version), modelName(expected ?? version)]
      const args = [expected ?? '', version, String(rowsSeen), String(formerModelSeconds), String(fittedAt ?? '')]
      return connection.write((client) => client.swapModel(names.length, names, args)) as Promise<SwapOutcome>
    },
    async putReservoir(replica, reservoir) {
      await connection.bulk((client) =>
        Promise.all([
          client.set(reservoirName(replica), bufferOf(reservoir), 'EX', reservoirSeconds),
          client.sadd(named('reservoirs'), replica),
        ]),
      )
    },
    async reservoirs() {
      const replicas = (await connection.read((client) => client.smembers(named('reservoirs')))).sort()
      const stored = new Map<string, Uint8Array>()
      for (const replica of replicas) {
        const bytes = await connection.bulk((client) => client.getBuffer(reservoirName(replica)))
        if (bytes === null) await connection.write((client) => client.srem(named('reservoirs'), replica))
        else stored.set(replica, bytes)
      }
      return stored
    },
    async lock(ttlSeconds) {
      const token = randomUUID()
      const name = named('model:lock')
      const taken = await connection.write((client) => client.set(name, token, 'EX', ttlSeconds, 'NX'))
      if (taken === null) return undefined
      return {
        release: async () => {
          await connection.write((client) => client.releaseLock(1, [name], [token]))
        },
      }
    },
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
