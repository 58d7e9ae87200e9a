import type { Logger } from '../../lib/log.ts'
import { Reservoir } from '../detection/reservoir.ts'
import { joined } from '../detection/time-span.ts'
import { isPrefix } from '../scoring/column-layout.ts'
import type { ModelStore } from '../state/state.ts'
import type { InferenceMetrics } from './inference-metrics.ts'
import type { Replica } from './replica.ts'
import { decodeReservoir, encodeReservoir, type StoredReservoir } from './stored-reservoir.ts'

export interface ReplicaReservoirsOptions {
  readonly replica: Replica
  /** Name of this replica, unlike all others'. */
  readonly name: string
  readonly store: Pick<ModelStore, 'reservoirs' | 'putReservoir'>
  readonly seed: number | string
  readonly metrics: Pick<InferenceMetrics, 'refused'>
  readonly log: Logger
  /** Milliseconds since 1970. */
  readonly wall: () => number
}

/** A replica writes its reservoir at least so often while rows come, so that the others see that it lives. */
const heartbeatMs = 600_000
/** Reservoirs that were not written for so long belong to replicas that are gone: they become one. */
const staleMs = 6 * heartbeatMs
const retired = 'retired'

/** The reservoirs that the replicas of a pipeline store for one another, seen by one of them. */
export class ReplicaReservoirs {
  readonly #options: ReplicaReservoirsOptions
  #saved: { readonly rowsSeen: number; readonly at: number }

  constructor(options: ReplicaReservoirsOptions) {
    this.#options = options
    this.#saved = { rowsSeen: 0, at: options.wall() }
  }

  /** Rows came since this replica's reservoir was stored. */
  get isUnsaved(): boolean {
    return this.#options.replica.reservoir.rowsSeen > this.#saved.rowsSeen
  }

  get isHeartbeatDue(): boolean {
    return this.isUnsaved && this.#options.wall() - this.#saved.at >= heartbeatMs
  }

  /**
   * What an earlier process of this replica stored goes on; its rows would be lost with the first write otherwise. False
   * where there is nothing.
   */
  async resume(): Promise<boolean> {
    const { replica, name, seed } = this.#options
    const own = (await this.#read()).get(name)
    if (own === undefined) return false
    const { rowsSeen } = replica.reservoir
    if (rowsSeen === 0) replica.resume(own.reservoir, own.columns, own.times)
    else if (isPrefix(own.columns, replica.columns))
      replica.resume(
        Reservoir.merge(own.reservoir, replica.reservoir, `${seed} resume ${rowsSeen}`),
        longer(own.columns, replica.columns),
        own.times,
      )
    return true
  }

  async save(): Promise<void> {
    const { store, name } = this.#options
    const own = this.#own()
    const { rowsSeen } = own.reservoir
    await store.putReservoir(name, encodeReservoir(own))
    this.#saved = { rowsSeen, at: own.savedAt }
  }

  /** All that the replicas saw. Reservoirs whose columns are in another order, of a store that was emptied, are left out. */
  async merged(): Promise<StoredReservoir> {
    const { name, store, wall } = this.#options
    const all = await this.#read()
    const own = this.#own()
    const merge = (one: StoredReservoir, other: StoredReservoir) => this.#merge(one, other)
    all.delete(name)
    const fitting = [...all].filter(([, { columns }]) => isPrefix(columns, own.columns))
    const stale = fitting.filter(([from, { savedAt }]) => from !== retired && savedAt < wall() - staleMs)
    if (stale.length > 0) {
      const gone = [...stale.map(([, one]) => one), ...(all.has(retired) ? [all.get(retired)!] : [])].reduce(merge)
      await store.putReservoir(retired, encodeReservoir({ ...gone, savedAt: wall() }))
      for (const [from] of stale) await store.putReservoir(from, new Uint8Array(0))
    }
    return fitting.map(([, one]) => one).reduce(merge, own)
  }

  #own(): StoredReservoir {
    const { replica, wall } = this.#options
    return { columns: replica.columns, savedAt: wall(), times: replica.times, reservoir: replica.reservoir }
  }

  async #read(): Promise<Map<string, StoredReservoir>> {
    const { store, metrics, log } = this.#options
    const all = new Map<string, StoredReservoir>()
    for (const [from, bytes] of await store.reservoirs()) {
      if (bytes.length === 0) continue
      try {
        all.set(from, decodeReservoir(bytes))
      } catch (error) {
        metrics.refused('reservoir', 'Damaged')
        log.warn({ replica: from, error }, 'a stored reservoir cannot be read; left out')
      }
    }
    return all
  }

  #merge(one: StoredReservoir, other: StoredReservoir): StoredReservoir {
    const rows = one.reservoir.rowsSeen + other.reservoir.rowsSeen
    return {
      columns: longer(one.columns, other.columns),
      savedAt: Math.max(one.savedAt, other.savedAt),
      times: joined(one.times, other.times),
      reservoir: Reservoir.merge(one.reservoir, other.reservoir, `${this.#options.seed} merge ${rows}`),
    }
  }
}

function longer(one: readonly string[], other: readonly string[]): readonly string[] {
  return other.length > one.length ? other : one
}
