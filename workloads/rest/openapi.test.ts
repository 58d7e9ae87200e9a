import { Validator } from '@seriousme/openapi-schema-validator'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import * as z from 'zod'
import type { HttpPart } from '../../lib/http-part.ts'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { apiLimits, createApp } from './app.ts'
import type { JsonSchema } from './json-schema.ts'
import { createLiveEvents } from './live-events.ts'
import { openapi } from './openapi.ts'
import { createApiServer } from './server.ts'
import { createStubDoor, eventBodies } from './stub-door.ts'

function mappingOf(event: object) {
  const metadata = { name: 'test', namespace: 'default' }
  const spec = { source: { brokers: ['localhost:9092'] }, event }
  return parsePipeline({ apiVersion: 'anomaly.com/v1alpha1', kind: 'AnomalyPipeline', metadata, spec }).spec.event
}

type Schemas = Readonly<Record<string, JsonSchema>>

/** What is wrong with a value by one of the schemas; '' if nothing is. Members that a schema does not name are wrong. */
function faultsOf(schemas: Schemas, name: string, value: unknown): string {
  const closed = Object.fromEntries(Object.entries(schemas).map(([each, schema]) => [each, close(schema)]))
  const $defs = JSON.parse(JSON.stringify(closed).replaceAll('#/components/schemas/', '#/$defs/'))
  const result = schemaOf({ $ref: `#/$defs/${name}`, $defs }).safeParse(value)
  return result.success ? '' : z.prettifyError(result.error)
}

function close(schema: JsonSchema): JsonSchema {
  return schema.properties === undefined ? schema : { ...schema, additionalProperties: false }
}

const schemaOf = (schema: JsonSchema) => z.fromJSONSchema(schema as z.core.JSONSchema.JSONSchema)

describe('openapi', () => {
  const event = mappingOf({})
  const seed = { eventId: 'e', timestamp: 1640000000, userId: 'u', value: 125.5, features: { a: 1, b: null } }
  const door = createStubDoor(event)
  let server: HttpPart
  let document: ReturnType<typeof openapi>
  let schemas: Schemas

  before(async () => {
    const log = await createLogger({ level: 'silent' })
    server = createApiServer(
      createApp(door, { log, registry: new Registry(), event, live: createLiveEvents(), openFeedback: true }),
      {
        port: 0,
        host: '127.0.0.1',
      },
    )
    await server.start!(new AbortController().signal)
    document = (await ask('/openapi.json')).body as ReturnType<typeof openapi>
    schemas = document.components.schemas
  })
  after(() => server.stop!())

  async function ask(path: string, body?: string, type = 'application/json', method = body ? 'POST' : 'GET') {
    const headers = { 'Content-Type': type }
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method, headers, body: body ?? null })
    const [answerType] = response.headers.get('content-type')!.split(';')
    const text = await response.text()
    return { status: response.status, type: answerType!, body: answerType!.endsWith('json') ? JSON.parse(text) : text }
  }

  it('is valid by the schema of its version of OpenAPI', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document))
    expect(valid, JSON.stringify(errors, null, 2)).to.equal(true)
  })

  it('describes every verdict, with all of its members and with none that may be left out', async () => {
    const [anomaly, ordinary] = [
      await ask('/api/v1/detect', JSON.stringify(seed)),
      await ask('/api/v1/detect', '{"userId":"u"}'),
    ]
    expect(anomaly.body).to.have.property('suppressedBy')
    expect(ordinary.body).not.to.have.property('suppressedBy')
    for (const { body } of [anomaly, ordinary, await ask('/api/v1/results/e')])
      expect(faultsOf(schemas, 'Verdict', body)).to.equal('')
    const { eventId, ...withoutId } = ordinary.body
    expect(faultsOf(schemas, 'Verdict', withoutId)).to.include('eventId')
    expect(faultsOf(schemas, 'Verdict', { ...ordinary.body, extra: eventId })).to.include('extra')
  })

  it('describes every item of a batch', async () => {
    const { body } = await ask('/api/v1/detect/batch', JSON.stringify([seed, { ...seed, userId: 1, value: [] }]))
    expect(body.map((item: object) => 'eventId' in item)).to.deep.equal([true, false])
    for (const item of body) expect(faultsOf(schemas, 'BatchItem', item)).to.equal('')
  })

  it('describes health', async () => {
    for (const { state } of [
      door,
      { state: { status: 'DOWN', components: { redis: { status: 'DOWN', details: {} } } } } as const,
    ]) {
      door.state = state
      expect(faultsOf(schemas, 'Health', (await ask('/api/v1/health')).body)).to.equal('')
      expect(faultsOf(schemas, 'ActuatorHealth', (await ask('/actuator/health')).body)).to.equal('')
    }
  })

  it('lists the status and media type of every answer', async () => {
    const big = JSON.stringify('x'.repeat(apiLimits.batchBytes))
    const answers: [string, 'get' | 'post', Awaited<ReturnType<typeof ask>>][] = []
    for (const path of ['/api/v1/detect', '/api/v1/detect/batch'])
      for (const [body, type] of [
        ['{', 'application/json'],
        ['x', 'text/plain'],
        ['7', 'application/json'],
        [big, 'application/json'],
      ])
        answers.push([path, 'post', await ask(path, body, type)])
    answers.push(['/api/v1/detect', 'post', await ask('/api/v1/detect', JSON.stringify(seed))])
    answers.push([
      '/api/v1/detect/batch',
      'post',
      await ask('/api/v1/detect/batch', '{"userId":"u"}\n', 'application/x-ndjson'),
    ])
    for (const id of ['e', 'none', '%zz'])
      answers.push(['/api/v1/results/{eventId}', 'get', await ask(`/api/v1/results/${id}`)])
    for (const body of ['{"eventId":"e","label":"Confirmed"}', '{"eventId":"none","label":"FalseAlarm"}', '{', '{}'])
      answers.push(['/api/v1/feedback', 'post', await ask('/api/v1/feedback', body)])
    answers.push(['/api/v1/stream', 'get', await ask('/api/v1/stream', undefined, undefined, 'HEAD')])
    answers.push(['/api/v1/stream', 'get', await ask('/api/v1/stream?only=all')])
    for (const path of ['/api/v1/health', '/actuator/health', '/actuator/prometheus'])
      answers.push([path, 'get', await ask(path)])

    const paths = document.paths as Record<string, Record<string, { responses: Record<string, { content: object }> }>>
    for (const [path, method, { status, type, body }] of answers) {
      const described = paths[path]![method]!.responses[status]
      expect(Object.keys(described?.content ?? {}), `${method} ${path}: ${status}`).to.include(type)
      if (type === 'application/problem+json') expect(faultsOf(schemas, 'Problem', body)).to.equal('')
    }
    expect(new Set(answers.map(([path]) => path))).to.deep.equal(new Set(Object.keys(paths)))
    expect(new Set(answers.map(([, , { status }]) => status))).to.deep.equal(
      new Set([200, 202, 400, 404, 413, 415, 422, 503]),
    )
  })

  it('accepts an event exactly where a door does', async () => {
    const bodies: object[] = [
      seed,
      { userId: 'u' },
      { userId: 7, eventId: 8, timestamp: '2021-12-20T12:00:00Z', value: null, features: null, other: 'x' },
      { eventId: 'e' },
      { userId: '' },
      { userId: null },
      { userId: 'x'.repeat(257) },
      { userId: 'u', eventId: 'x'.repeat(257) },
      { userId: 'u', eventId: true },
      { userId: 'u', timestamp: [] },
      { userId: 'u', timestamp: -1 },
      { userId: 'u', value: '1' },
      { userId: 'u', features: [] },
      { userId: 'u', features: { a: '1' } },
      { userId: 'u', features: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`f${i}`, i])) },
    ]
    const { Event } = schemas
    for (const body of bodies) {
      const [outcome] = await createStubDoor(event).detect(eventBodies(body))
      const valid = schemaOf(Event!).safeParse(body).success
      expect(valid, JSON.stringify(body).slice(0, 80)).to.equal(outcome!.kind === 'verdict')
    }
  })

  it("describes events with the pipeline's own fields", () => {
    const nested = mappingOf({ id: 'tx.id', time: '', key: 'tx.card', value: 'amount', featureFields: ['lat', 'x*'] })
    const { Event } = openapi(nested, apiLimits, { bearer: false, history: false, overview: false }).components.schemas
    expect(Event).to.have.nested.property('properties.tx.properties.card.minLength', 1)
    const validate = schemaOf(Event!)
    const accepted = (body: object) => validate.safeParse(body).success
    expect(accepted({ tx: { id: 1, card: 'c' }, amount: 3, lat: 1.5, x1: 2 })).to.equal(true)
    expect(accepted({ amount: 3 })).to.equal(false)
    expect(accepted({ tx: { card: 'c' }, x1: 'two' })).to.equal(false)
    expect(accepted({ tx: { card: 'c' }, lat: 'north' })).to.equal(false)
    const keyless = openapi(mappingOf({ key: '$source' }), apiLimits, {
      bearer: false,
      history: false,
      overview: false,
    }).components.schemas.Event
    expect(keyless).not.to.have.any.keys('required', '$source')
  })
})
