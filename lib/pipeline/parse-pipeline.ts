import * as z from 'zod'
import { AppError } from '../errors.ts'
import { type Explanation, explainIssue } from './explain-issue.ts'
import { type Pipeline, pipelineDocument } from './spec.ts'

export type ParsedPipeline =
  | { readonly pipeline: Pipeline; readonly issues?: never }
  | { readonly pipeline?: never; readonly issues: readonly Explanation[] }

/** Validates a document that was read already and fills in the static defaults. */
export function checkPipeline(document: unknown): ParsedPipeline {
  const stated = withoutNulls(document)
  const result = pipelineDocument.safeParse(stated)
  if (result.success) return { pipeline: result.data as Pipeline }
  const schema = z.toJSONSchema(pipelineDocument, { target: 'openapi-3.0', io: 'input' }) as object
  // A document of another kind has nothing in its right place: one line says enough.
  const ofKind = result.error.issues.filter(({ path }) => path[0] === 'apiVersion' || path[0] === 'kind')
  const issues = ofKind.length > 0 ? ofKind : result.error.issues
  return { issues: issues.flatMap((issue) => explainIssue(issue, stated, schema)) }
}

/** The same for those who have no other plan: throws InvalidPipeline with one line for each thing that is wrong. */
export function parsePipeline(document: unknown): Pipeline {
  const { pipeline, issues } = checkPipeline(document)
  if (pipeline === undefined) throw new AppError('InvalidPipeline', issues.map(({ line }) => line).join('\n'))
  return pipeline
}

/** A field that is null counts as absent, as in the API server: `event:` with nothing after it means the defaults. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, field]) =>
      field === null || field === undefined ? [] : [[key, withoutNulls(field)]],
    ),
  )
}
