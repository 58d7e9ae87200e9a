import { resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { EventMapping } from '../../lib/pipeline/spec.ts'
import { shapes } from '../detection/evidence.ts'
import { maxFeatures } from '../detection/feature-schema.ts'
import { feedbackLabels } from '../detection/feedback.ts'
import { degradations, suppressions } from '../detection/verdict.ts'
import { maxIdLength } from '../wire/decode.ts'
import type { JsonSchema } from './json-schema.ts'
import { liveEventTypes } from './live-events.ts'
import {
  historyPaths,
  historySchemas,
  key,
  overviewPaths,
  overviewSchemas,
  page,
  pageOf,
  query,
} from './openapi-history.ts'

export interface ApiLimits {
  readonly eventBytes: number
  readonly batchBytes: number
  readonly batchEvents: number
}

export interface Described {
  /** Whether the routes want a token. */
  readonly bearer: boolean
  /** Whether there is a history. */
  readonly history: boolean
  /** Whether it says what the pipeline is doing. */
  readonly overview: boolean
}

/** OpenAPI 3.1 of the REST routes, with an event as this pipeline's fields say. */
export function openapi(event: EventMapping, limits: ApiLimits, { bearer, history, overview }: Described) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Anomaly detection',
      version: '1',
      description:
        'Events in, verdicts out. Errors are RFC 9457 problems; `reason` names the kind of error, `field` the field at fault. Every answer carries the X-Request-Id of its request, or a new one.',
    },
    paths: {
      '/api/v1/detect': {
        post: {
          operationId: 'detect',
          summary: 'Detect whether one event is abnormal',
          description:
            'Safe to repeat: a second call with the id and the body of an earlier event is answered with the first verdict and `Idempotent-Replayed: true`, and nothing is learnt from it. The same id with another body is 409.',
          requestBody: {
            required: true,
            description: `At most ${limits.eventBytes} bytes, also when decompressed: Content-Encoding may be gzip.`,
            content: { 'application/json': { schema: ref('Event') } },
          },
          responses: {
            200: {
              description: 'The verdict',
              headers: { 'Idempotent-Replayed': replayed('An earlier call with this id got this verdict.') },
              content: { 'application/json': { schema: ref('Verdict') } },
            },
            ...problems(400, 401, 409, 413, 415, 422, 500, 503, 504),
          },
        },
      },
      '/api/v1/detect/batch': {
        post: {
          operationId: 'detectBatch',
          summary: 'Detect which of many events are abnormal',
          description:
            'One item per event, in order and in the format of the request: its verdict, or a problem with its `index` (from 0; blank lines of NDJSON do not count). The whole is 200 also where some, or all, of the events are refused.',
          requestBody: {
            required: true,
            description: `At most ${limits.batchEvents} events and ${limits.batchBytes} bytes, also when decompressed: Content-Encoding may be gzip.`,
            content: {
              'application/json': {
                schema: { type: 'array', maxItems: limits.batchEvents, items: ref('Event') },
              },
              'application/x-ndjson': { schema: ref('Event') },
            },
          },
          responses: {
            200: {
              description: 'An item per event',
              headers: { 'Idempotent-Replayed': replayed('All verdicts are those of earlier calls.') },
              content: {
                'application/json': { schema: { type: 'array', items: ref('BatchItem') } },
                'application/x-ndjson': { schema: ref('BatchItem') },
              },
            },
            ...problems(400, 401, 413, 415, 422, 500, 503, 504),
          },
        },
      },
      '/api/v1/results/{eventId}': {
        get: {
          operationId: 'getResult',
          summary: 'The verdict of a recent event',
          parameters: [{ name: 'eventId', in: 'path', required: true, schema: { type: 'string' } }],
          responses: {
            200: { description: 'The verdict', content: { 'application/json': { schema: ref('Verdict') } } },
            ...problems(400, 401, 404, 500, 503, 504),
          },
        },
      },
      '/api/v1/feedback': {
        get: {
          operationId: 'listFeedback',
          summary: 'What people said of events, newest first',
          description:
            'Of the last 10,000 events of which something was learnt, what was said last. A key learns of its last eight notes.',
          parameters: [
            key,
            query('label', { enum: feedbackLabels }, 'What holds; Withdrawn: what was taken back.'),
            ...page,
          ],
          responses: {
            200: {
              description: 'A page',
              content: { 'application/json': { schema: pageOf('feedback', 'Said') } },
            },
            ...problems(400, 401, 404, 500, 503, 504),
          },
        },
        post: {
          operationId: 'giveFeedback',
          summary: 'Say of an event whether it was an anomaly',
          description:
            'Learnt by a pipeline with detection.feedback. Safe to repeat: what was said last of an event holds. Recent events and alerts are known by their ids; of others the verdict must come along.',
          requestBody: { required: true, content: { 'application/json': { schema: ref('Feedback') } } },
          responses: {
            202: {
              description: 'It is stored and will be learnt, after the events that came before it',
              content: {
                'application/json': { schema: object({ eventId: { type: 'string' }, label: feedbackLabel }) },
              },
            },
            ...problems(400, 401, 403, 404, 413, 415, 422, 500, 503, 504),
          },
        },
      },
      '/api/v1/stream': {
        get: {
          operationId: 'streamEvents',
          summary: 'What happens from now on, as server-sent events',
          description:
            'Each has a type (`event`) and a JSON value (`data`): `verdict`, and `alert` for a verdict that alerts, `episode` for what becomes of one, as the pipeline publishes them. The last one of a stream that the server ends is `end`, with `reason` and `message`: TooSlow where a client does not keep up, else the client may come again. What happens between two streams is in neither.',
          parameters: [
            {
              name: 'only',
              in: 'query',
              description: 'Types of events to be told of; all if absent. May be repeated.',
              schema: { type: 'array', items: { enum: liveEventTypes } },
            },
          ],
          responses: {
            200: { description: 'Events', content: { 'text/event-stream': { schema: { type: 'string' } } } },
            ...problems(400, 401, 500, 503),
          },
        },
      },
      ...(overview ? overviewPaths(problems) : undefined),
      ...(history ? historyPaths(problems) : undefined),
      '/api/v1/health': {
        get: {
          operationId: 'getHealth',
          summary: 'Whether the service answers, and what it has to do without',
          security: [],
          responses: {
            200: { description: 'UP or DEGRADED', content: { 'application/json': { schema: ref('Health') } } },
            503: { description: 'DOWN', content: { 'application/json': { schema: ref('Health') } } },
          },
        },
      },
      '/actuator/health': {
        get: {
          operationId: 'getActuatorHealth',
          summary: 'Health as Spring Boot writes it',
          security: [],
          responses: {
            200: { description: 'UP', content: { 'application/json': { schema: ref('ActuatorHealth') } } },
            503: { description: 'DOWN', content: { 'application/json': { schema: ref('ActuatorHealth') } } },
          },
        },
      },
      '/actuator/prometheus': {
        get: {
          operationId: 'getMetrics',
          summary: 'Metrics in the text format of Prometheus',
          security: [],
          responses: { 200: { description: 'Metrics', content: { 'text/plain': { schema: { type: 'string' } } } } },
        },
      },
    },
    security: bearer ? [{ bearer: [] }] : [],
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Event: eventSchema(event),
        Verdict: verdict,
        Reason: reason,
        ...(overview ? overviewSchemas : undefined),
        ...(history ? historySchemas : undefined),
        Feedback: feedback,
        Said: said,
        BatchItem: { anyOf: [ref('Verdict'), ref('BatchProblem')] },
        Problem: problem,
        BatchProblem: {
          ...problem,
          properties: { ...problem.properties, index: { type: 'integer', minimum: 0 } },
          required: ['type', 'title', 'status', 'detail', 'reason', 'index'],
        },
        Health: health,
        ActuatorHealth: object({ status: { enum: ['UP', 'DOWN'] } }),
      },
    },
  }
}

const fraction: JsonSchema = { type: 'number', minimum: 0, maximum: 1 }
const optionalNumber: JsonSchema = { type: ['number', 'null'] }
const place: JsonSchema = { type: 'integer', minimum: 0 }

const verdict = object(
  {
    eventId: { type: 'string' },
    userId: { type: 'string', description: "The event's key." },
    secondaryKeys: {
      type: 'object',
      additionalProperties: { type: 'string' },
      description: "The event's secondary keys, by the name of the field; absent where the pipeline has none.",
    },
    timestamp: { ...optionalNumber, description: 'Milliseconds since 1970; null where the event has no time.' },
    isAnomaly: { type: 'boolean' },
    anomalyScore: {
      ...fraction,
      description: '1 - tail probability: 0.999 means that one normal event in a thousand looks like this or worse.',
    },
    threshold: { ...fraction, description: 'The anomaly score from which on the event would be an anomaly.' },
    confidence: { ...fraction, description: 'How much of what a verdict rests on was there.' },
    modelVersion: { type: 'string', description: 'LEARNING before there is a model; NONE where none is used.' },
    inferenceTimeMs: { type: 'number', minimum: 0 },
    featureImportance: { type: 'object', additionalProperties: fraction, description: 'Contribution by feature.' },
    reasons: { type: 'array', items: ref('Reason'), description: 'Strongest first.' },
    suppressedBy: { enum: suppressions, description: 'Why an event with a high score is not an anomaly.' },
    degraded: { enum: degradations, description: 'What the verdict had to do without.' },
    scores: { type: 'object', additionalProperties: fraction, description: 'Anomaly score by detector.' },
    value: { type: 'number', description: "The event's value; where a history is kept, of what was published since." },
    partition: {
      ...place,
      description:
        'Of the topic of events, where a history is kept: what came by REST says so only once it is published.',
    },
    offset: { ...place, description: 'Where the event stands in that partition.' },
  },
  ['secondaryKeys', 'suppressedBy', 'degraded', 'value', 'partition', 'offset'],
)

const reason = object(
  {
    detector: { type: 'string', description: '"rule" for a limit that a person wrote.' },
    rule: { type: 'string', description: 'Name of the rule.' },
    feature: {
      type: 'string',
      description: 'A feature, value, interval (seconds since the last event of the key) or mean(features).',
    },
    category: { type: 'string', description: 'The text of a category.' },
    observed: { ...optionalNumber, description: 'Of a category: how many of the last events of the key had it.' },
    expected: {
      ...optionalNumber,
      description: "What was expected instead, or the rule's limit; of a category, how many events those were.",
    },
    contribution: fraction,
    shape: { enum: shapes.filter((shape) => shape !== '') },
    agreeing: {
      type: 'array',
      items: { type: 'string' },
      description: 'Names of other detectors that found the same feature.',
    },
  },
  ['rule', 'category', 'shape', 'agreeing'],
)

const feedbackLabel: JsonSchema = {
  enum: feedbackLabels,
  description: 'Withdrawn: what was said before is taken back.',
}

const feedback = object(
  {
    eventId: { type: 'string', minLength: 1, maxLength: maxIdLength, description: 'May be left to the verdict.' },
    label: feedbackLabel,
    time: { type: 'number', description: 'When it was said, in milliseconds since 1970. Now if absent.' },
    secondaryKeys: {
      type: 'object',
      additionalProperties: { type: 'string' },
      description: "The event's own, by the name of the field, where its verdict does not say them.",
    },
    verdict: { ...ref('Verdict'), description: 'As it was published, of an event that is not known any more.' },
  },
  ['eventId', 'time', 'secondaryKeys', 'verdict'],
)

const said = object({
  eventId: { type: 'string' },
  userId: { type: 'string', description: 'Key of the event.' },
  label: { enum: feedbackLabels.filter((label) => label !== 'Withdrawn') },
  time: { type: 'number', description: 'When it was said, in milliseconds since 1970.' },
  by: { type: ['string', 'null'], description: 'Who said it; null where nobody is known by name.' },
  withdrawnAt: { type: ['number', 'null'], description: 'When it was taken back; null while it holds.' },
  anomalyScore: { type: 'number' },
  reasons: { type: 'array', items: ref('Reason'), description: 'The pattern that was spoken of: up to three.' },
})

const problem = object(
  {
    type: { const: 'about:blank' },
    title: { type: 'string', description: 'The status in words.' },
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: { type: 'string' },
    reason: { type: 'string', description: 'Tells problems of one status apart, as in MalformedJson.' },
    field: { type: 'string', description: 'The field at fault.' },
    position: { type: 'integer', minimum: 0, description: 'Character at which JSON ends to be JSON.' },
    stored: {
      enum: ['Nothing', 'Unknown'],
      description:
        'Of an event that was not answered (503 and 504): Nothing of it is stored, or it is Unknown whether it is. The same event sent again finds out, and is stored once.',
    },
    instance: { type: 'string', description: 'Path of the request.' },
  },
  ['field', 'position', 'stored', 'instance'],
)

const health = object(
  {
    status: { enum: ['UP', 'DEGRADED', 'DOWN'] },
    components: {
      type: 'object',
      additionalProperties: object({ status: { enum: ['UP', 'DOWN'] }, details: { type: 'object' } }, ['details']),
    },
    modelVersion: { type: 'string' },
  },
  ['modelVersion'],
)

/** What decodes: mapped fields at their dotted paths, the key required, other fields allowed. */
function eventSchema(event: EventMapping): JsonSchema {
  const fields: Field[] = []
  const put = (path: string, schema: JsonSchema, required = false): void => {
    if (path !== '' && !path.startsWith('$')) fields.push({ path: path.split('.'), schema, required })
  }
  const name = { type: ['string', 'number'], maxLength: 256 }
  put(event.id, { ...name, type: [...name.type, 'null'], description: 'Repeated ids get the first verdict.' })
  put(event.time, {
    type: ['number', 'string', 'null'],
    minimum: 0,
    description:
      'Seconds or milliseconds since 1970, RFC 3339, or a date-time without zone, which is UTC. Now if absent.',
  })
  put(event.key, { ...name, minLength: 1, description: 'Whose history the event belongs to.' }, true)
  put(event.value, optionalNumber)
  const features = resolveFeatures(event)
  const patterns: Record<string, JsonSchema> = {}
  if (features.type === 'object')
    put(features.field, {
      type: ['object', 'null'],
      maxProperties: maxFeatures,
      additionalProperties: optionalNumber,
      description: 'Numbers by name.',
    })
  else if (features.type === 'fields')
    for (const field of features.names)
      if (field.endsWith('*')) patterns[`^${escapeRegExp(field.slice(0, -1))}`] = optionalNumber
      else fields.push({ path: [field], schema: optionalNumber, required: false })
  return { ...nested(fields), ...(Object.keys(patterns).length > 0 ? { patternProperties: patterns } : {}) }
}

interface Field {
  readonly path: readonly string[]
  readonly schema: JsonSchema
  readonly required: boolean
}

function nested(fields: readonly Field[]): JsonSchema {
  const properties: Record<string, JsonSchema> = {}
  const required: string[] = []
  for (const [name, under] of Map.groupBy(fields, (field) => field.path[0]!)) {
    const leaf = under.find((field) => field.path.length === 1)
    properties[name] = leaf?.schema ?? nested(under.map((field) => ({ ...field, path: field.path.slice(1) })))
    if (under.some((field) => field.required)) required.push(name)
  }
  return { type: 'object', properties, ...(required.length > 0 ? { required } : {}) }
}

function object(properties: Readonly<Record<string, JsonSchema>>, optional: readonly string[] = []) {
  return { type: 'object', properties, required: Object.keys(properties).filter((name) => !optional.includes(name)) }
}

function ref(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` }
}

function replayed(description: string) {
  return { description, schema: { const: 'true' } }
}

function problems(...statuses: readonly number[]) {
  const content = { 'application/problem+json': { schema: ref('Problem') } }
  return Object.fromEntries(statuses.map((status) => [status, { description: problemTexts[status], content }]))
}

const problemTexts: Readonly<Record<number, string>> = {
  400: 'The body, the path or the query cannot be read',
  401: 'A bearer token is required',
  403: 'The pipeline takes feedback only where the API asks for tokens',
  404: 'There is no such verdict, or no longer; for feedback: the pipeline takes none',
  409: 'The id came before with another body',
  413: 'The body is too large',
  415: 'The body is of another media type, charset or content coding',
  422: 'The body is no event that can be read; `field` names what is wrong',
  500: 'The server failed',
  503: 'The service cannot answer now; Retry-After says when to try again',
  504: 'The answer took too long',
}

function escapeRegExp(literal: string): string {
  return literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
