import type { Logger } from '../../lib/log.ts'
import type { ResolvedDetector } from '../../lib/pipeline/resolve-pipeline.ts'
import { carriedColumns } from '../detection/carried-columns.ts'
import type { Model, ModelFit } from '../detection/model.ts'
import { nextRefit } from '../detection/refit-schedule.ts'
import type { ModelStore } from '../state/state.ts'
import type { CurrentModel } from './current-model.ts'
import type { FitOutcome } from './inference-metrics.ts'
import { ModelSet } from './model-set.ts'
import type { ReplicaReservoirs } from './replica-reservoirs.ts'
import type { StoredReservoir } from './stored-reservoir.ts'

export interface RefitOptions {
  readonly forests: readonly Extract<ResolvedDetector, { type: 'isolationForest' }>[]
  readonly refitEvents: number
  readonly store: Pick<ModelStore, 'lock'>
  readonly current: CurrentModel
  readonly reservoirs: ReplicaReservoirs
  readonly fitModel: (fit: ModelFit) => Promise<Model>
  readonly seed: number | string
  readonly log: Logger
  /** Milliseconds since 1970. */
  readonly wall: () => number
}

const lockSeconds = 120

/** The replica that gets the lock fits models on all that the replicas saw, if that is due, and moves the pointer to them. */
export async function refit(options: RefitOptions): Promise<FitOutcome> {
  const { refitEvents, store, current, reservoirs, wall } = options
  const lock = await store.lock(lockSeconds)
  if (lock === undefined) return 'Locked'
  try {
    await current.readPointer()
    const merged = await reservoirs.merged()
    const due = nextRefit(current.named?.rowsSeen ?? 0, refitEvents)
    if (merged.reservoir.rowsSeen < due && !current.isUnusable) return 'NotDue'
    const next = await fitted(merged, options)
    return next === undefined ? 'Failed' : await current.replace(next, wall())
  } finally {
    await lock.release().catch(() => {}) // it lapses by itself
  }
}

async function fitted(
  { reservoir, columns }: StoredReservoir,
  { forests, fitModel, seed, log }: RefitOptions,
): Promise<ModelSet | undefined> {
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
