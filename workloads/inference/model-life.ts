import { messageOf } from '../../lib/errors.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import type { ResolvedDetector } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Check } from '../../lib/probes.ts'
import { carriedColumns } from '../detection/carried-columns.ts'
import type { Model, ModelFit } from '../detection/model.ts'
import { nextRefit } from '../detection/refit-schedule.ts'
import { Reservoir } from '../detection/reservoir.ts'
import { isPrefix } from '../scoring/column-layout.ts'
import type { FeatureStore, ModelPointer, ModelStore } from '../state/state.ts'
import type { FitOutcome, InferenceMetrics } from './inference-metrics.ts'
import { decodeModelSet, ModelSet } from './model-set.ts'
import type { Replica } from './replica.ts'
import { decodeReservoir, encodeReservoir, type StoredReservoir } from './stored-reservoir.ts'

export interface ModelLifeOptions {
  readonly replica: Replica
  /** Name of this replica, unlike all others'. */
  readonly name: string
  readonly detectors: readonly ResolvedDetector[]
  readonly store: ModelStore
  /** Of the pipeline's features. */
  readonly features: Pick<FeatureStore, 'names'>
  readonly fitModel: (fit: ModelFit) => Promise<Model>
  readonly seed: number | string
  readonly metrics: Pick<InferenceMetrics, 'fitted' | 'refused' | 'setModel'>
  readonly log: Logger
  /** Milliseconds since 1970. */
  readonly wall: () => number
  readonly pollMs?: number | undefined
}

export interface ModelLife extends Part {
  /** Why rows cannot be scored as the pipeline wants them to be, or undefined. */
  readonly ready: Check
  /** When the model in use was fitted, in milliseconds since 1970; undefined where that is not known. */
  fittedAt(): number | undefined
  /** What is wrong with the store, or undefined; scoring goes on all the same. */
  storeProblem(): string | undefined
  /** Follows the pointer and refits where that is due; once at a time, never throws. */
  turn(): Promise<void>
}

/** A replica writes its reservoir at least so often while rows come, so that the others see that it lives. */
const heartbeatMs = 600_000
/** Reservoirs that were not written for so long belong to replicas that are gone: they become one. */
const staleMs = 6 * heartbeatMs
const retired = 'retired'
const lockSeconds = 120

/**
 * How a replica comes by its models. Until there is a first one, rows are only learnt. When as many rows have come as the
 * schedule says, the replica stores its reservoir, and one replica, who holds the lock, merges all reservoirs by the rows
 * they saw, fits and calibrates, and moves the pointer; all follow the pointer. Without the store the models stay as
 * they are.
 */
export function createModelLife(options: ModelLifeOptions): ModelLife {
  const { replica, name, store, features, fitModel, seed, metrics, log, wall, pollMs = 1000 } = options
  const forests = options.detectors.filter((detector) => detector.type === 'isolationForest')
  const refitEvents = Math.min(...forests.map((forest) => forest.refitEvents))
  let pointerRead = false
  let named: ModelPointer | undefined
  let fittedAt: number | undefined
  let refused: { readonly version: string; readonly why: string } | undefined
  let problem: string | undefined
  let due = nextRefit(0, refitEvents)
  let saved = { rowsSeen: 0, at: wall() }
  let turning: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined

  function refuse(what: 'model' | 'reservoir', reason: 'Missing' | 'Damaged', fields: object, message: string): void {
    metrics.refused(what, reason)
    log.warn(fields, message)
  }

  /** What an earlier process of this replica stored goes on; its rows would be lost with the first write otherwise. */
  async function resume(): Promise<void> {
    const own = (await readReservoirs()).get(name)
    if (own === undefined) return
    const { rowsSeen } = replica.reservoir
    if (rowsSeen === 0) replica.resume(own.reservoir, own.columns)
    else if (isPrefix(own.columns, replica.columns))
      replica.resume(
        Reservoir.merge(own.reservoir, replica.reservoir, `${seed} resume ${rowsSeen}`),
        longest([own.columns, replica.columns]),
      )
    due = nextRefit(replica.reservoir.rowsSeen, refitEvents)
  }

  async function follow(): Promise<void> {
    named = await store.current()
    replica.known.use(await features.names())
    if (!pointerRead) await resume()
    pointerRead = true
    const own = replica.models
    if (named === undefined) {
      // The store was emptied: those who come later find the model again.
      if (own !== undefined) await publish(own, undefined, fittedAt)
      return
    }
    const { version } = named
    if (version === own?.version || refused?.version === version) return
    const bytes = await store.get(version)
    if (bytes === undefined) {
      refused = { version, why: 'it is not stored' }
      refuse('model', 'Missing', { version }, 'the current model is not stored; the former stays')
      return
    }
    try {
      const models = decodeModelSet(bytes, forests.length)
      if (models.version !== version) throw new Error(`the artifact is of ${models.version}`)
      take(models, named.fittedAt)
    } catch (error) {
      refused = { version, why: messageOf(error) }
      refuse('model', 'Damaged', { version, error }, 'the current model cannot be read; the former stays')
    }
  }

  function take(models: ModelSet, at: number | undefined): void {
    refused = undefined
    fittedAt = at
    replica.use(models)
    metrics.setModel(models.version)
    log.info({ version: models.version, rowsSeen: models.rowsSeen }, 'model in use')
  }

  async function publish(models: ModelSet, expected: string | undefined, at: number | undefined): Promise<FitOutcome> {
    await store.put(models.version, models.encode())
    const { version, rowsSeen } = models
    const next: ModelPointer = { version, rowsSeen, ...(at === undefined ? {} : { fittedAt: at }) }
    const outcome = await store.swap(expected, next)
    if (outcome === 'Swapped') named = next
    return outcome
  }

  async function save(): Promise<void> {
    const { rowsSeen } = replica.reservoir
    const at = wall()
    await store.putReservoir(
      name,
      encodeReservoir({ columns: replica.columns, savedAt: at, reservoir: replica.reservoir }),
    )
    saved = { rowsSeen, at }
  }

  async function readReservoirs(): Promise<Map<string, StoredReservoir>> {
    const all = new Map<string, StoredReservoir>()
    for (const [from, bytes] of await store.reservoirs()) {
      if (bytes.length === 0) continue
      try {
        all.set(from, decodeReservoir(bytes))
      } catch (error) {
        refuse('reservoir', 'Damaged', { replica: from, error }, 'a stored reservoir cannot be read; left out')
      }
    }
    return all
  }

  /** All that the replicas saw. Reservoirs whose columns are in another order, of a store that was emptied, are left out. */
  async function merged(): Promise<StoredReservoir> {
    const all = await readReservoirs()
    const own: StoredReservoir = { columns: replica.columns, savedAt: wall(), reservoir: replica.reservoir }
    all.delete(name)
    const fitting = [...all].filter(([, { columns }]) => isPrefix(columns, own.columns))
    const stale = fitting.filter(([from, { savedAt }]) => from !== retired && savedAt < wall() - staleMs)
    if (stale.length > 0) {
      const gone = [...stale.map(([, one]) => one), ...(all.has(retired) ? [all.get(retired)!] : [])].reduce(mergeTwo)
      await store.putReservoir(retired, encodeReservoir({ ...gone, savedAt: wall() }))
      for (const [from] of stale) await store.putReservoir(from, new Uint8Array(0))
    }
    return fitting.map(([, one]) => one).reduce(mergeTwo, own)
  }

  function mergeTwo(one: StoredReservoir, other: StoredReservoir): StoredReservoir {
    const rows = one.reservoir.rowsSeen + other.reservoir.rowsSeen
    return {
      columns: longest([one.columns, other.columns]),
      savedAt: Math.max(one.savedAt, other.savedAt),
      reservoir: Reservoir.merge(one.reservoir, other.reservoir, `${seed} merge ${rows}`),
    }
  }

  async function fitted(reservoir: Reservoir, columns: readonly string[]): Promise<ModelSet | undefined> {
    const { rowsSeen } = reservoir
    const carried = carriedColumns({ rows: reservoir.rows(), columns })
    try {
      const models: Model[] = []
      for (const { trees, sampleSize } of forests)
        models.push(await fitModel({ ...carried, rowsSeen, trees, sampleSize, seed }))
      return new ModelSet(models)
    } catch (error) {
      log.error({ error, rowsSeen, columns: columns.length }, 'cannot fit a model; the former stays')
      return undefined
    }
  }

  async function refit(): Promise<FitOutcome> {
    const lock = await store.lock(lockSeconds)
    if (lock === undefined) return 'Locked'
    try {
      named = await store.current()
      const { reservoir, columns } = await merged()
      const { rowsSeen } = reservoir
      if (rowsSeen < nextRefit(named?.rowsSeen ?? 0, refitEvents) && refused?.version !== named?.version)
        return 'NotDue'
      const next = await fitted(reservoir, columns)
      if (next === undefined) return 'Failed'
      const at = wall()
      const outcome = await publish(next, named?.version, at)
      if (outcome === 'Swapped') take(next, at)
      return outcome
    } finally {
      await lock.release().catch(() => {}) // it lapses by itself
    }
  }

  async function step(): Promise<void> {
    await follow()
    const { rowsSeen } = replica.reservoir
    if (rowsSeen >= due) {
      await save()
      const outcome = await refit()
      metrics.fitted(outcome)
      due = nextRefit(rowsSeen, refitEvents)
    } else if (rowsSeen > saved.rowsSeen && wall() - saved.at >= heartbeatMs) await save()
  }

  async function turn(): Promise<void> {
    turning ??= step()
      .then(
        () => {
          if (problem !== undefined) log.info({}, 'the model store answers again')
          problem = undefined
        },
        (error: unknown) => {
          if (problem === undefined) log.warn({ error }, 'the model store does not answer; models stay as they are')
          problem = messageOf(error)
        },
      )
      .finally(() => {
        turning = undefined
      })
    return turning
  }

  return {
    name: 'models',
    ready() {
      if (forests.length === 0) return undefined
      if (!pointerRead)
        return `the pointer to the current model was not read yet${problem === undefined ? '' : `: ${problem}`}`
      const loaded = named === undefined || named.version === replica.models?.version
      return loaded || refused?.version === named?.version ? undefined : `model ${named!.version} is not loaded yet`
    },
    fittedAt: () => fittedAt,
    storeProblem: () => problem,
    turn,
    async start() {
      if (forests.length === 0) return
      metrics.setModel(replica.modelVersion)
      await turn()
      timer = setInterval(turn, pollMs)
    },
    async stop() {
      clearInterval(timer)
      await turning
      if (replica.reservoir.rowsSeen > saved.rowsSeen) await save().catch(() => {}) // the store is away: only learning is lost
    },
  }
}

function longest(lists: readonly (readonly string[])[]): readonly string[] {
  return lists.reduce((one, other) => (other.length > one.length ? other : one))
}
