import { didYouMean } from '../lib/pipeline/did-you-mean.ts'
import type { Pipeline } from '../lib/pipeline/spec.ts'

/** What a rule may compare that is no feature. */
const notFeatures = new Set(['value', 'mean(features)'])

/** A line for each rule on a feature that no event has: it never hits. `features` are the names that occur. */
export function unseenFields({ spec }: Pipeline, features: readonly string[] | undefined): readonly string[] {
  if (features === undefined) return []
  return spec.detection.rules.flatMap(({ name, field }) => {
    if (notFeatures.has(field) || features.includes(field)) return []
    const meant = didYouMean(field, features)
    const seen = features.length === 0 ? 'no features occur' : `those that occur: ${features.slice(0, 10).join(', ')}`
    const hint = meant === undefined ? seen : `did you mean ${meant}?`
    return [`spec.detection.rules[${name}].field: no event has a feature ${JSON.stringify(field)} (${hint})`]
  })
}
