import { messageOf } from '../../lib/errors.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import type { ResolvedDetector } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Check } from '../../lib/probes.ts'
import type { Model, ModelFit } from '../detection/model.ts'
import type { ModelProblems, ModelRecord } from '../detection/model-record.ts'
import { nextRefit } from '../detection/refit-schedule.ts'
import { modelMakers, refitEventsOf } from '../scoring/model-makers.ts'
import type { OnnxRunner } from '../scoring/onnx-runner.ts'
import { isHeld, type ModelPolicy } from '../scoring/takeover.ts'
import type { FeatureStore, ModelStore } from '../state/state.ts'
import { CurrentModel } from './current-model.ts'
import type { InferenceMetrics } from './inference-metrics.ts'
import { refit } from './refit.ts'
import type { Replica } from './replica.ts'
import { ReplicaReservoirs } from './replica-reservoirs.ts'

export interface ModelLifeOptions {
  /** As the pipeline has it now. */
  readonly policy: () => ModelPolicy
  readonly replica: Replica
  /** Name of this replica, unlike all others'. */
  readonly name: string
  readonly detectors: readonly ResolvedDetector[]
  /** Of the detectors that have a model of somebody else's. */
  readonly onnx?: readonly OnnxRunner[] | undefined
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
  /** Of the models that are kept, newest first. */
  records(): readonly ModelRecord[]
  /** What the pipeline names and the store does not have. */
  problems(): ModelProblems
  /** What is wrong with the store, or undefined; scoring goes on all the same. */
  storeProblem(): string | undefined
  /** Follows the pointer and refits where that is due; once at a time, never throws. */
  turn(): Promise<void>
}

/**
 * How a replica comes by its models. Until there is a first one, rows are only learnt. When as many rows have come as the
 * schedule says, the replica stores its reservoir, and one replica, who holds the lock, merges all reservoirs by the rows
 * they saw, fits and calibrates, and moves the pointer; all follow the pointer. Without the store the models stay as
 * they are.
 */
export function createModelLife(options: ModelLifeOptions): ModelLife {
  const { replica, features, metrics, log, policy, pollMs = 1000 } = options
  const makers = modelMakers(options.detectors, options.onnx)
  const refitEvents = refitEventsOf(options.detectors)
  const current = new CurrentModel({ ...options, makers })
  const reservoirs = new ReplicaReservoirs(options)
  let pointerRead = false
  let problem: string | undefined
  let strandedBy: string | undefined
  let due = nextRefit(0, refitEvents)
  let turning: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined

  async function follow(): Promise<void> {
    await current.readPointer()
    replica.known.use(await features.names())
    if (!pointerRead && (await reservoirs.resume())) due = nextRefit(replica.reservoir.rowsSeen, refitEvents)
    pointerRead = true
    await current.load()
  }

  /** Nothing scores here, since the current model is of other detectors or files than this replica has: tried once. */
  function isStranded(): boolean {
    const { named } = current
    if (named === undefined || replica.models !== undefined || !current.isUnusable || named.version === strandedBy)
      return false
    strandedBy = named.version
    return true
  }

  async function step(): Promise<void> {
    await follow()
    const { rowsSeen } = replica.reservoir
    if (rowsSeen >= due || isStranded()) {
      await reservoirs.save()
      const held = isHeld(policy().model?.pin, replica.models, refitEvents)
      metrics.fitted(held ? 'Held' : await refit({ ...options, makers, refitEvents, current, reservoirs }))
      // Megabytes of reservoirs and models wait in buffers that few objects hold: V8 alone would let some 60 MB of them wait.
      setImmediate(() => globalThis.gc?.({ type: 'minor' }))
      due = nextRefit(rowsSeen, refitEvents)
    } else if (reservoirs.isHeartbeatDue) await reservoirs.save()
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
      if (makers.length === 0) return undefined
      if (!pointerRead)
        return `the pointer to the current model was not read yet${problem === undefined ? '' : `: ${problem}`}`
      const { named } = current
      const { version } = replica.models ?? {}
      const loaded = named === undefined || version === named.version || version === (policy().model?.pin ?? '')
      return loaded || current.isUnusable ? undefined : `model ${named.version} is not loaded yet`
    },
    fittedAt: () => current.fittedAt,
    records: () => current.records,
    problems: () => current.problems,
    storeProblem: () => problem,
    turn,
    async start() {
      if (makers.length === 0) return
      metrics.setModel(replica.modelVersion)
      await turn()
      timer = setInterval(turn, pollMs)
    },
    async stop() {
      clearInterval(timer)
      await turning
      if (reservoirs.isUnsaved) await reservoirs.save().catch(() => {}) // the store is away: only learning is lost
    },
  }
}
