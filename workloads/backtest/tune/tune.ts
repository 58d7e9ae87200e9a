import { AppError } from '../../../lib/errors.ts'
import { resolveDecision, resolveDetectors, resolveRedis } from '../../../lib/pipeline/resolve-pipeline.ts'
import { type EventMapping, type Pipeline, unionDefaults } from '../../../lib/pipeline/spec.ts'
import { Detection } from '../../detection/detection.ts'
import { FeatureSchema } from '../../detection/feature-schema.ts'
import { type Alternative, alternativesTo, withBudget, withDetection } from './alternatives.ts'
import { injectAnomalies, injectedLabel, isUnordered } from './injected-sample.ts'
import type { Sample } from './sample.ts'
import { type Trial, type TrialData, type TrialOptions, trial } from './trial.ts'

export interface TuneOptions extends Omit<TrialOptions, 'data'> {
  readonly pipeline: Pipeline
  readonly sample: Sample
  /** The field with the truth; without one anomalies are put in. */
  readonly label: string | undefined
  /** Alerts a day that somebody can look at; the budget stays as it is if absent. */
  readonly alertsPerDay: number | undefined
  /** Told of each pipeline that is tried. */
  readonly onTrial?: ((name: string) => void) | undefined
}

export interface TriedAlternative extends Alternative, Trial {
  /** Memory of all keys of the input, in bytes, as far as the sample tells. */
  readonly stateBytes: number
  /** Why it is none to choose, however good. */
  readonly unfit?: string | undefined
}

export interface TriedBudget extends Trial {
  readonly perMillion: number
  /** What it asks for; NaN where events have no time. */
  readonly alertsPerDay: number
}

export interface Tuning {
  /** The first is the pipeline as it is. */
  readonly alternatives: readonly TriedAlternative[]
  readonly chosen: TriedAlternative
  /** Of the one that is chosen, ascending. */
  readonly budgets: readonly TriedBudget[]
  /** What was found is real, or was put in. */
  readonly isLabelled: boolean
  /** The budget at which the alternatives were compared. */
  readonly comparedAt: number
  /** Events of the sample. */
  readonly events: number
  /** Of the whole input; NaN where events have no time. */
  readonly eventsPerDay: number
  /** The pipeline given, where nothing is better. */
  readonly proposal: Pipeline
}

/** Anomalies put into each copy of the sample. */
const mostInjected = 60
const fewestInjected = 20
/** Alerts for each of them, so that all can be found beside what the data has of its own. */
const alertsPerInjected = 5
const mostCopies = 8
const noHistory = 'rows without time and key are no history, of which it could learn'
const dayMs = 86_400_000
/** Of the memory of Redis, what data may fill. */
const redisShare = 0.75
/** A better one must be so by a tenth, in both parts, and by more than twice what counts differ by chance. */
const better = 1.1
const chance = 2

/**
 * Tries other detectors and other budgets on a sample, and proposes what is better beyond chance.
 * @throws AppError InvalidArgument where a budget is asked for that cannot be told
 */
export async function tune(options: TuneOptions): Promise<Tuning> {
  const { pipeline, sample, label, alertsPerDay, onTrial } = options
  const decision = resolveDecision(pipeline.spec.detection)
  const stated = decision.type === 'alertBudget' ? decision.perMillion : unionDefaults.alertBudget.perMillion
  const eventsPerDay = eventsPerDayOf(sample)
  const perMillion = alertsPerDay === undefined ? stated : budgetFor(alertsPerDay, eventsPerDay)
  const { data, comparedAt } =
    label === undefined
      ? injected(options, perMillion)
      : { data: [labelled(sample, label, pipeline.spec.event)], comparedAt: perMillion }
  const tried = (of: Pipeline, budget: number) => {
    options.signal?.throwIfAborted()
    return trial(withBudget(of, budget), { ...options, data })
  }

  const alternatives: TriedAlternative[] = []
  for (const one of alternativesTo(pipeline)) {
    onTrial?.(one.name)
    const stateBytes = stateBytesOf(one.pipeline, sample)
    const unfit = label === undefined && hasNoHistory(one) ? noHistory : unfitOf(one.pipeline, stateBytes)
    alternatives.push({ ...one, ...(await tried(one.pipeline, comparedAt)), stateBytes, unfit })
  }
  const chosen = bestOf(alternatives)

  const budgets: TriedBudget[] = []
  for (const factor of [0.1, 0.3, 1, 3, 10]) {
    const budget = Math.min(Math.max(1, Math.round(factor * perMillion)), 1_000_000)
    if (budgets.some((one) => one.perMillion === budget)) continue
    onTrial?.(`${chosen.name}, ${budget} alerts per million`)
    const asked = { perMillion: budget, alertsPerDay: (eventsPerDay * budget) / 1e6 }
    budgets.push({ ...(await tried(chosen.pipeline, budget)), ...asked })
  }

  const { detectors } = chosen.pipeline.spec.detection
  const isSized = alertsPerDay !== undefined && (perMillion !== stated || decision.type === 'threshold')
  const proposal = isSized ? withBudget(pipeline, perMillion) : pipeline
  return {
    alternatives,
    chosen,
    budgets,
    isLabelled: label !== undefined,
    comparedAt,
    events: sample.events.length,
    eventsPerDay,
    proposal: chosen === alternatives[0] ? proposal : withDetection(proposal, { detectors: detectors! }),
  }
}

function injected(
  { sample, pipeline, seed }: TuneOptions,
  perMillion: number,
): { readonly data: readonly TrialData[]; readonly comparedAt: number } {
  const { events } = sample
  if (isUnordered(pipeline.spec.event))
    return {
      data: [{ rows: events.map(({ record }) => record), label: injectedLabel, parts: 1, measure: 'AveragePrecision' }],
      comparedAt: perMillion,
    }
  const alerts = (events.length * perMillion) / 1e6
  const wanted = Math.round(Math.min(mostInjected, Math.max(fewestInjected, alerts / alertsPerInjected)))
  const copyOf = (copy: number) => injectAnomalies(sample, pipeline.spec.event, { wanted, seed: seed + copy })
  const first = copyOf(0)
  // Where there is room for few, there are more copies, which are small.
  const copies = Math.min(mostCopies, 2 * Math.max(1, Math.ceil(fewestInjected / Math.max(1, first.injected))))
  const copied = [first, ...Array.from({ length: copies - 1 }, (_, copy) => copyOf(copy + 1))]
  const most = Math.max(...copied.map(({ injected }) => injected))
  const needed = Math.ceil(((alertsPerInjected * most) / events.length) * 1e6)
  return {
    data: copied.map(({ rows }) => ({ rows, label: injectedLabel, parts: 1, measure: 'Recall' })),
    comparedAt: Math.min(1_000_000, Math.max(perMillion, Number(needed.toPrecision(2)))),
  }
}

function labelled({ events }: Sample, label: string, mapping: EventMapping): TrialData {
  const measure = isUnordered(mapping) ? 'AveragePrecision' : 'F1'
  return { rows: events.map(({ record }) => record), label, parts: 2, measure }
}

function eventsPerDayOf({ events, share }: Sample): number {
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const { event } of events) {
    if (event.time < first) first = event.time
    if (event.time > last) last = event.time
  }
  return last > first ? ((events.length / share) * dayMs) / (last - first) : Number.NaN
}

function budgetFor(alertsPerDay: number, eventsPerDay: number): number {
  if (Number.isNaN(eventsPerDay))
    throw new AppError('InvalidArgument', `--alerts-per-day ${alertsPerDay}: the events have no time`)
  return Math.min(1_000_000, Math.max(1, Number(((alertsPerDay / eventsPerDay) * 1e6).toPrecision(2))))
}

function hasNoHistory({ pipeline: { spec } }: Alternative): boolean {
  const isKeyed = resolveDetectors(spec.detection).some(({ type }) => type === 'profile' || type === 'discord')
  return isKeyed && isUnordered(spec.event)
}

/** What all keys take. */
function stateBytesOf(pipeline: Pipeline, { events, features, share }: Sample): number {
  const keys = new Set(events.map(({ event }) => event.key)).size / share
  return keys * new Detection(pipeline, new FeatureSchema(features)).bytesPerKey
}

function unfitOf(pipeline: Pipeline, stateBytes: number): string | undefined {
  const redis = resolveRedis(pipeline)
  if (redis.type === 'external' || stateBytes <= redisShare * redis.memoryMebibytes * 2 ** 20) return undefined
  return `its keys do not fit into the ${redis.memoryMebibytes} MiB of spec.state.redis`
}

type Compared = Pick<TriedAlternative, 'quality' | 'measure' | 'parts' | 'unfit' | 'found' | 'wrong'>

/** The first, unless another is better than it in every part, and beyond chance. What is unfit is neither. */
export function bestOf<Tried extends Compared>(tried: readonly Tried[]): Tried {
  const fit = tried.filter(({ unfit }) => unfit === undefined)
  const given = fit[0] ?? tried[0]!
  const isBetter = (one: Tried) =>
    one.quality >= better * given.quality &&
    one.parts.every(({ quality }, part) => !(quality <= given.parts[part]!.quality)) &&
    isBeyondChance(given, one)
  return fit.filter(isBetter).reduce((best, one) => (one.quality > best.quality ? one : best), given)
}

/** Counts of rare things vary by the square root of what they are. */
function isBeyondChance(given: Compared, one: Compared): boolean {
  if (one.measure === 'AveragePrecision') return true
  const differs = (more: number, less: number) => more - less >= chance * Math.sqrt(more + less)
  return differs(one.found, given.found) || (one.measure === 'F1' && differs(given.wrong, one.wrong))
}
