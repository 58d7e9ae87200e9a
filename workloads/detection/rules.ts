import type { Rule } from '../../lib/pipeline/spec.ts'
import type { Event } from './event.ts'
import type { FeatureSchema } from './feature-schema.ts'

/** A limit that a person wrote, ready to be compared. */
export interface Limit {
  readonly name: string
  /** As the document names it: value, a feature, or mean(features). */
  readonly field: string
  readonly above: number
  readonly below: number
  /** The number that is compared; NaN where the event lacks it, which breaks no limit. */
  read(event: Event): number
}

export function limitsOf(rules: readonly Rule[], schema: FeatureSchema): readonly Limit[] {
  return rules.map(({ name, field, above, below }) => ({
    name,
    field,
    above: above === undefined ? Number.POSITIVE_INFINITY : Number(above),
    below: below === undefined ? Number.NEGATIVE_INFINITY : Number(below),
    read: readerOf(field, schema),
  }))
}

export function isHit(limit: Limit, observed: number): boolean {
  return observed > limit.above || observed < limit.below
}

function readerOf(field: string, schema: FeatureSchema): (event: Event) => number {
  if (field === 'value') return (event) => event.value
  if (field === 'mean(features)') return meanOfFeatures
  return (event) => {
    const index = schema.indexOf(field)
    return index === undefined ? Number.NaN : (event.features[index] ?? Number.NaN)
  }
}

/** Mean of the features that the event carries; NaN where it carries none. */
function meanOfFeatures(event: Event): number {
  let sum = 0
  let count = 0
  for (const feature of event.features) {
    if (Number.isNaN(feature)) continue
    sum += feature
    count++
  }
  return sum / count
}
