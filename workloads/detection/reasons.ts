import type { Event } from './event.ts'
import { type Evidence, firstFeature, intervalField, missingField, valueField } from './evidence.ts'
import type { FeatureSchema } from './feature-schema.ts'
import { isHit, type Limit } from './rules.ts'
import type { RowExplanation } from './scored-rows.ts'
import type { Reason } from './verdict.ts'

/** Columns of a row that are the profile's view of a field. */
const fieldOfView: ReadonlyMap<string, string> = new Map([
  ['value.deviation', 'value'],
  ['interval.deviation', 'interval'],
])

/**
 * The reasons of one verdict at a time: the limits that the event broke, then the strongest of the detectors' reasons.
 */
export class Reasons {
  readonly #schema: FeatureSchema
  /** Of fields of text: categories, secondary keys, then the key. */
  readonly #textNames: readonly string[]
  #event: Event | undefined
  #list: Reason[] = []
  #value = Number.NaN
  /** How many of the list are limits. */
  #limits = 0
  #most = 0

  constructor(schema: FeatureSchema, textNames: readonly string[]) {
    this.#schema = schema
    this.#textNames = textNames
  }

  /** The reasons since `begin`. */
  get list(): readonly Reason[] {
    return this.#list
  }

  /** Begins with the limits that the event breaks; answers whether there are any. */
  begin(limits: readonly Limit[], event: Event): boolean {
    this.#list = []
    this.#value = event.value
    this.#event = event
    for (const limit of limits) {
      const observed = limit.read(event)
      if (!isHit(limit, observed)) continue
      const expected = observed > limit.above ? limit.above : limit.below
      this.#list.push({
        detector: 'rule',
        rule: limit.name,
        feature: limit.field,
        observed,
        expected,
        contribution: 1,
      })
    }
    this.#limits = this.#list.length
    return this.#limits > 0
  }

  /** At most so many reasons of detectors are kept. */
  keep(most: number): void {
    this.#most = this.#limits + most
  }

  /** Adds what a keyed detector saw. @param share of the verdict that the detector speaks for, 0 to 1 */
  addEvidence(detector: string, evidence: Evidence, share: number): void {
    let total = 0
    for (let e = 0; e < evidence.count; e++) total += evidence.contribution[e]!
    if (total <= 0) return
    const part = share / total
    const count = Math.min(evidence.count, this.#most - this.#limits)
    for (let e = 0; e < count; e++) {
      const contribution = evidence.contribution[e]! * part
      if (contribution < 0.01) break
      const field = evidence.field[e]!
      this.#place({
        detector,
        feature: this.#nameOf(field),
        ...(field < 0 ? { category: this.#textOf(-1 - field) } : undefined),
        observed: numberOrNull(evidence.observed[e]!),
        expected: numberOrNull(evidence.expected[e]!),
        contribution,
        ...(evidence.shape === '' ? undefined : { shape: evidence.shape }),
      })
    }
  }

  /**
   * Adds what a model said of a column, in the words of the event: what it said of the profile's view of a field belongs
   * to the field. Of an interval only the profile knows the seconds. @param share of the verdict that the model speaks for
   */
  addExplanation(detector: string, explanation: RowExplanation, share: number): void {
    const contribution = explanation.contribution * share
    const field = fieldOfView.get(explanation.column)
    const feature = field ?? explanation.column
    const list = this.#list
    const at = list.findIndex((reason, r) => r >= this.#limits && reason.feature === feature)
    if (at >= 0) {
      const [same] = list.splice(at, 1) as [Reason]
      const others = same.agreeing ?? []
      const agreeing = same.detector === detector || others.includes(detector) ? others : [...others, detector]
      this.#place({
        ...same,
        ...(same.expected === null && field === undefined && { expected: explanation.expected }),
        contribution: same.contribution + contribution,
        ...(agreeing.length > 0 && { agreeing }),
      })
    } else if (field === undefined) {
      const { observed, expected } = explanation
      this.#place({ detector, feature, observed, expected, contribution })
    } else if (field === 'value') {
      this.#place({ detector, feature, observed: numberOrNull(this.#value), expected: null, contribution })
    }
  }

  #nameOf(field: number): string {
    if (field < 0) return this.#textNames[-1 - field]!
    if (field === valueField) return 'value'
    if (field === intervalField) return 'interval'
    if (field === missingField) return 'missing features'
    return this.#schema.names[field - firstFeature]!
  }

  /** The event's text of the field of that index. */
  #textOf(index: number): string {
    const { key, categories = [], secondaryKeys = [] } = this.#event!
    return categories[index] ?? secondaryKeys[index - categories.length] ?? key
  }

  /** Inserts by contribution, after the limits. */
  #place(reason: Reason): void {
    const list = this.#list
    let at = list.length
    while (at > this.#limits && list[at - 1]!.contribution < reason.contribution) at--
    if (at >= this.#most) return
    list.splice(at, 0, reason)
    if (list.length > this.#most) list.pop()
  }
}

function numberOrNull(x: number): number | null {
  return Number.isNaN(x) ? null : x
}
