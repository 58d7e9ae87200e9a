import * as z from 'zod'
import { pipelineDocument } from './spec.ts'

/** A JSON Schema (draft 7) of a pipeline's file, as editors read it; what depends on several fields it does not say. */
export function pipelineJsonSchema(): object {
  const { $schema, ...schema } = z.toJSONSchema(pipelineDocument, {
    target: 'draft-7',
    io: 'input',
    // What Kubernetes understands, editors do not.
    override: ({ jsonSchema }) => {
      for (const keyword of Object.keys(jsonSchema)) if (keyword.startsWith('x-kubernetes-')) delete jsonSchema[keyword]
    },
  })
  return { $schema, title: 'AnomalyPipeline', ...schema }
}

export const pipelineJsonSchemaText = (): string => `${JSON.stringify(pipelineJsonSchema(), null, 2)}\n`
