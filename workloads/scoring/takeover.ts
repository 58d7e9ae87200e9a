import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import type { Surprisal } from '../detection/detector.ts'
import type { Comparison, Takeover } from '../detection/model-record.ts'
import { rankAgreement } from '../detection/rank-agreement.ts'
import type { NamedRows } from './column-layout.ts'
import type { ModelSet } from './model-set.ts'

/** Rows that both models score before one gives way to the other. */
export const shadowRows = 512
/** Of fewer rows nothing can be told. */
const leastRows = 128
/** Models of fewer rows give way to any that was fitted on more. */
const grownRows = 1000
/** Rank agreement below this: the candidate finds other rows strange than the model that serves. */
const leastAgreement = 0.3
/** One would alert so many times as often as the other, give or take `slack` of the rows. */
const mostRatio = 5
const slack = 0.005
/** So many candidates in a row are refused; the next one takes over whatever it says. */
export const mostRefusals = 3

/** What the life of models follows. */
export type ModelPolicy = Pick<DetectionSpec, 'alertBudget' | 'alertBudgetPerMillion' | 'threshold' | 'model'>

export interface TakeoverOptions {
  readonly present: ModelSet | undefined
  readonly candidate: ModelSet
  /** The last rows that the present model scored. */
  readonly recent: NamedRows
  /** Surprisal that an event must reach to alert. */
  readonly threshold: Surprisal
  /** Candidates that were refused in a row before this one. */
  readonly refusals: number
}

/** Whether a candidate takes over, by what it says of the last rows in the shadow of the one that serves. */
export function takeover({ present, candidate, recent, threshold, refusals }: TakeoverOptions): Takeover {
  if (present === undefined) return { outcome: 'First' }
  if (present.rowsSeen < grownRows || recent.count < leastRows) return { outcome: 'Young' }
  const comparison = compare(present.means(recent), candidate.means(recent), threshold)
  const reason = reasonToRefuse(comparison)
  if (reason === undefined) return { outcome: 'TookOver', comparison }
  return { outcome: refusals < mostRefusals ? 'Refused' : 'Forced', comparison, reason }
}

/** Surprisals of the same rows. */
export function compare(present: Float64Array, candidate: Float64Array, threshold: Surprisal): Comparison {
  const rate = (surprisals: Float64Array) =>
    surprisals.reduce((sum, surprisal) => sum + Number(surprisal >= threshold), 0) / surprisals.length
  const agreement = rankAgreement(present, candidate)
  return {
    rows: present.length,
    presentRate: rate(present),
    candidateRate: rate(candidate),
    agreement: Number.isNaN(agreement) ? null : agreement,
  }
}

function reasonToRefuse({ rows, presentRate, candidateRate, agreement }: Comparison): string | undefined {
  const ratio = (candidateRate + slack) / (presentRate + slack)
  const percent = (rate: number) => `${(100 * rate).toFixed(1)} %`
  if (ratio > mostRatio || ratio < 1 / mostRatio)
    return `it would alert on ${percent(candidateRate)} of the last ${rows} rows, the model that serves on ${percent(presentRate)}`
  if (agreement !== null && agreement < leastAgreement)
    return `it orders the last ${rows} rows otherwise than the model that serves: rank agreement ${agreement.toFixed(2)}, ${leastAgreement} at least is asked for`
  return undefined
}

/**
 * Whether nothing is fitted, since the pipeline names the version that serves, or would if it were kept. The models of a
 * stream's beginning are not held in its place: they are no good.
 */
export function isHeld(pin: string | undefined, present: ModelSet | undefined, refitEvents: number): boolean {
  if (pin === undefined || present === undefined) return false
  return present.version === pin || present.rowsSeen >= refitEvents
}
