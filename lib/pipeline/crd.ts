import { stringify } from 'yaml'
import * as z from 'zod'
import { apiVersion, kind, pipelineDocument } from './spec.ts'
import { pipelineStatus } from './status.ts'

/** An OpenAPI v3 schema as Kubernetes understands it (structural: a type everywhere, no references, no alternatives). */
export interface StructuralSchema {
  readonly [keyword: string]: unknown
  readonly type?: string
  readonly properties?: Readonly<Record<string, StructuralSchema>>
  readonly items?: StructuralSchema
  readonly additionalProperties?: StructuralSchema
}

/** The CustomResourceDefinition of AnomalyPipeline. */
export function crd() {
  const [group, version] = apiVersion.split('/')
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `anomalypipelines.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        singular: 'anomalypipeline',
        plural: 'anomalypipelines',
        shortNames: ['apl'],
        categories: ['anomaly'],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: printerColumns(),
          schema: { openAPIV3Schema: documentSchema() },
        },
      ],
    },
  }
}

/** The same as a file. */
export const crdYaml = (): string =>
  `# Generated from lib/pipeline/spec.ts and status.ts by \`npm run generate\`.\n${stringify(crd(), { lineWidth: 0, aliasDuplicateObjects: false })}`

/** What `kubectl get apl` shows; from `wide` on only with `-o wide`. */
function printerColumns() {
  const ready = '.status.conditions[?(@.type=="Ready")]'
  const column = (name: string, type: string, jsonPath: string, description: string, priority = 0) => ({
    name,
    type,
    jsonPath,
    description,
    priority,
  })
  const wide = 1
  return [
    column('Ready', 'string', `${ready}.status`, 'Whether everything that the document asks for is there.'),
    column('Status', 'string', `${ready}.reason`, 'Why it is ready or not.'),
    column('Consumers', 'string', '.status.components.consumer.summary', 'Consumers ready/desired.'),
    column('Lag', 'integer', '.status.source.lag', 'Events in the topic that have no verdict yet.'),
    column('Alerts/M', 'string', '.status.alerts.summary', 'Alerts per million events got/budget.'),
    column('Model', 'string', '.status.model.version', 'The version that scores.'),
    column('Age', 'date', '.metadata.creationTimestamp', 'Time since the pipeline was created.'),
    column('Inference', 'string', '.status.components.inference.summary', 'Inference pods ready/desired.', wide),
    column('API', 'string', '.status.components.api.summary', 'API pods ready/desired.', wide),
    column('Redis', 'string', '.status.components.redis.summary', 'Managed Redis pods ready/desired.', wide),
    column('Backup', 'date', '.status.backup.lastTime', 'Time since the last backup.', wide),
    column('Fitted', 'date', '.status.model.fitTime', 'Time since that version was fitted.', wide),
    column('Topic', 'string', '.spec.source.topic', 'Topic of the events.', wide),
    column('Partitions', 'integer', '.status.source.partitions', 'Partitions of the topic.', wide),
    column('Message', 'string', `${ready}.message`, 'Why it is ready or not, for people.', wide),
  ]
}

function documentSchema(): StructuralSchema {
  const document = jsonSchema(pipelineDocument)
  const { name } = document.properties!.metadata!.properties!
  return {
    type: 'object',
    description: 'A stream of events on Kafka, and how the abnormal ones among them are found and told.',
    required: ['spec'],
    'x-kubernetes-validations': document['x-kubernetes-validations'],
    properties: {
      apiVersion: { type: 'string', description: `${apiVersion}` },
      kind: { type: 'string', description: kind },
      metadata: { type: 'object', properties: { name: structural(name!) } },
      spec: structural(document.properties!.spec!),
      status: {
        description: 'The pipeline as it is, written by the operator.',
        ...structural(jsonSchema(pipelineStatus)),
      },
    },
  }
}

const jsonSchema = (schema: z.ZodType) =>
  z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input' }) as unknown as StructuralSchema

/** What zod makes of a schema, without what Kubernetes refuses and with what it wants besides. */
function structural(schema: StructuralSchema): StructuralSchema {
  const { description, type, properties, items, additionalProperties, anyOf: _, ...others } = schema
  const values = additionalProperties as StructuralSchema | false | undefined
  return {
    ...(description === undefined ? {} : { description }),
    ...(type === undefined ? {} : { type }),
    ...(type === 'integer' ? { format: integerFormat(schema) } : {}),
    ...others,
    ...(values && Object.keys(values).length > 0 ? { additionalProperties: structural(values) } : {}),
    ...(items === undefined ? {} : { items: structural(items) }),
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).map(([key, field]) => [key, structural(field)])) }),
  }
}

const integerFormat = ({ maximum }: StructuralSchema) => (Number(maximum) <= 2_147_483_647 ? 'int32' : 'int64')
