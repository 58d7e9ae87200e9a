import { resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { EventMapping } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'

/** Whether the event carries any number that detectors look at. */
export function hasNumbers({ value, features }: Event): boolean {
  return !Number.isNaN(value) || features.some((feature) => !Number.isNaN(feature))
}

/** What to say of events of which none had a number: most likely the pipeline names other fields than they have. */
export function nothingToJudge(mapping: EventMapping): string {
  const features = resolveFeatures(mapping)
  const fields = [
    ...(mapping.value === '' ? [] : [`value: ${mapping.value}`]),
    ...(features.type === 'object' ? [`features: ${features.field}`] : []),
    ...(features.type === 'fields' ? [`featureFields: ${features.names.join(', ')}`] : []),
  ]
  return `no event has a number to judge: ${fields.length === 0 ? 'the pipeline names no field for one' : `the pipeline looks in ${fields.join(' and ')}`} (spec.event)`
}
