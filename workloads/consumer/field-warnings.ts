import type { StreamRecord } from '../../lib/kafka/records.ts'
import type { Logger } from '../../lib/log.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { FieldCensus } from '../wire/field-census.ts'
import type { ParsedBody } from '../wire/json-body.ts'

export interface FieldWarningsOptions {
  readonly pipeline: Pipeline
  readonly parse: (value: StreamRecord['value']) => ParsedBody
  readonly log: Logger
}

/** Looks at the first records: a pipeline that reads other fields than its events have runs without a word otherwise. */
export function fieldWarnings({
  pipeline,
  parse,
  log,
}: FieldWarningsOptions): (records: readonly StreamRecord[]) => void {
  const census = new FieldCensus(pipeline)
  const { topic } = pipeline.spec.source
  return (records) => {
    if (census.isFull) return
    for (const { value, headers } of records) {
      const parsed = parse(value)
      if ('value' in parsed) census.add(parsed.value, headers)
    }
    if (census.isFull) for (const warning of census.warnings()) log.warn({ topic }, warning)
  }
}
