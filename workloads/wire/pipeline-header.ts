import type { Headers } from '../../lib/kafka/records.ts'

const name = 'anomaly-pipeline'

/** The header that says whose verdict or episode a record is: several pipelines may share a topic. */
export const pipelineHeader = (pipeline: string): Headers => ({ [name]: Buffer.from(pipeline) })

/** Whether a record is of this pipeline, as far as it says: those of former releases say nothing. */
export function isOfPipeline(headers: Headers | undefined, pipeline: string): boolean {
  const value = headers?.[name]
  return value === undefined || String(value) === pipeline
}
