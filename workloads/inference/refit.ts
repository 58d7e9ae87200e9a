import type { Logger } from '../../lib/log.ts'
import { carriedColumns } from '../detection/carried-columns.ts'
import { nominalThreshold } from '../detection/decision.ts'
import type { Model, ModelFit } from '../detection/model.ts'
import { refusalsOf } from '../detection/model-record.ts'
import { nextRefit } from '../detection/refit-schedule.ts'
import type { ModelMaker } from '../scoring/model-makers.ts'
import { ModelSet } from '../scoring/model-set.ts'
import { recordOf } from '../scoring/record-of.ts'
import { type ModelPolicy, takeover } from '../scoring/takeover.ts'
import type { ModelStore } from '../state/state.ts'
import type { CurrentModel } from './current-model.ts'
import type { FitOutcome } from './inference-metrics.ts'
import type { Replica } from './replica.ts'
import type { ReplicaReservoirs } from './replica-reservoirs.ts'
import type { StoredReservoir } from './stored-reservoir.ts'

export interface RefitOptions {
  readonly replica: Replica
  readonly policy: () => ModelPolicy
  readonly makers: readonly ModelMaker[]
  readonly refitEvents: number
  readonly store: Pick<ModelStore, 'lock' | 'put' | 'keep'>
  readonly current: CurrentModel
  readonly reservoirs: ReplicaReservoirs
  readonly fitModel: (fit: ModelFit) => Promise<Model>
  readonly seed: number | string
  readonly log: Logger
  /** Milliseconds since 1970. */
  readonly wall: () => number
}

const lockSeconds = 120

/**
 * The replica that gets the lock fits models on all that the replicas saw, if that is due, and moves the pointer to them if
 * what they say of its last rows is within bounds.
 */
export async function refit(options: RefitOptions): Promise<FitOutcome> {
  const { refitEvents, store, current, reservoirs } = options
  const lock = await store.lock(lockSeconds)
  if (lock === undefined) return 'Locked'
  try {
    await current.readPointer()
    const merged = await reservoirs.merged()
    const rowsOf = [current.named, ...current.records.slice(0, 1)].map((one) => one?.rowsSeen ?? 0)
    const due = nextRefit(Math.max(...rowsOf), refitEvents)
    if (merged.reservoir.rowsSeen < due && !current.isUnusable) return 'NotDue'
    const candidate = await fitted(merged, options)
    return candidate === undefined ? 'Failed' : await consider(candidate, merged, options)
  } finally {
    await lock.release().catch(() => {}) // it lapses by itself
  }
}

async function consider(candidate: ModelSet, { times }: StoredReservoir, options: RefitOptions): Promise<FitOutcome> {
  const { replica, policy, current, store, log, wall } = options
  const result = takeover({
    present: replica.models,
    candidate,
    recent: replica.recent.rows(),
    threshold: nominalThreshold(policy()),
    refusals: refusalsOf(current.records),
  })
  const { outcome, reason } = result
  const artifact = candidate.encode()
  const record = recordOf(candidate, artifact, { ...result, times, fittedAt: wall() })
  const { version, rowsSeen } = candidate
  if (reason !== undefined) log.warn({ version, rowsSeen, outcome, reason }, 'the new model is out of bounds')
  if (outcome !== 'Refused') return await current.replace(candidate, record)
  await store.put(version, artifact)
  await store.keep(version)
  await current.addRecord(record)
  return 'Refused'
}

async function fitted(
  { reservoir, columns }: StoredReservoir,
  { makers, fitModel, seed, log }: RefitOptions,
): Promise<ModelSet | undefined> {
  const { rowsSeen } = reservoir
  const carried = carriedColumns({ rows: reservoir.rows(), columns })
  try {
    const models: Model[] = []
    for (const { fitIn } of makers) models.push(await fitIn(fitModel, { ...carried, rowsSeen, seed }))
    return new ModelSet(models)
  } catch (error) {
    log.error({ error, rowsSeen, columns: columns.length }, 'cannot fit a model; the former stays')
    return undefined
  }
}
