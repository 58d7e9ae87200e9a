import { AppError } from '../../lib/errors.ts'
import type { KafkaRecord } from '../../lib/kafka/records.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { within } from '../../lib/time.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import type { EventReference, Verdict } from '../detection/verdict.ts'
import type { History } from '../history/history.ts'
import { createDecode, type Decode, isEvent } from '../wire/decode.ts'
import { type ParsedBody, parseBody } from '../wire/json-body.ts'
import { RecordOrigin } from '../wire/record-origin.ts'
import type { SchemaRegistry } from '../wire/schema-registry.ts'
import { verdictOf } from '../wire/signed-verdict.ts'

/** Where an event stands in the topic of events. */
export interface SourcePlace {
  readonly partition: number
  readonly offset: number
}

export interface SourceEventsOptions {
  readonly pipeline: Pipeline
  /** The record at a place; undefined where none is, or none any more. */
  readonly read: (place: SourcePlace) => Promise<KafkaRecord | undefined>
  readonly schemaRegistry?: SchemaRegistry | undefined
  /** For an answer, in ms. */
  readonly timeoutMs?: number | undefined
}

/** Each is read over a connection of its own. */
const mostAtOnce = 8

/** A history that holds no events: each is read from its topic, where its verdict says that it stands. */
export function withSourceEvents(history: History, options: SourceEventsOptions): History {
  const { pipeline, read, schemaRegistry, timeoutMs = 4000 } = options
  const { topic } = pipeline.spec.source
  const decode = createDecode(pipeline.spec.event, new FeatureSchema())
  let reading = 0

  async function recordAt(place: SourcePlace): Promise<KafkaRecord | undefined> {
    if (reading === mostAtOnce) throw new AppError('Unavailable', `${mostAtOnce} events are being read; try again`)
    reading++
    const record = read(place).finally(() => reading--)
    return within(timeoutMs, record, `${topic} could not be read within ${timeoutMs / 1000} s`)
  }

  async function bodyOf({ value }: KafkaRecord): Promise<ParsedBody> {
    if (schemaRegistry === undefined) return parseBody(value)
    await schemaRegistry.prepare([value], AbortSignal.timeout(timeoutMs))
    return schemaRegistry.parse(value)
  }

  return {
    ...history,
    async event(eventId) {
      const event = `The event ${JSON.stringify(eventId)}`
      const json = await history.result(eventId)
      if (json === undefined) throw notFound(`${event} has no verdict, or no longer`)
      const verdict = JSON.parse(json) as Verdict
      const place = placeIn(verdict)
      if (place === undefined)
        throw notFound(
          `${event} was judged by a former release, or before a history was kept: where it stands is not known`,
        )
      const where = `offset ${place.offset} of partition ${place.partition} of ${topic}`
      const record = await recordAt(place)
      if (record === undefined)
        throw notFound(`${event} is no longer at ${where}: a topic keeps events for a time only`)
      const body = await bodyOf(record)
      if ('reason' in body) throw notFound(`${event}, at ${where}, cannot be read: ${body.message}`)
      if (!isOf(verdict, { record, body, decode, of: { topic, partition: place.partition } }))
        throw notFound(
          `Another event than ${JSON.stringify(eventId)} is at ${where}: source.topic was changed or made anew`,
        )
      return body.json === undefined ? JSON.stringify(body.value, longAsText) : String(body.json)
    },
  }
}

const notFound = (message: string): AppError => new AppError('NotFound', message)

function placeIn({ partition, offset }: EventReference): SourcePlace | undefined {
  if (partition === undefined || offset === undefined) return undefined
  return Number.isSafeInteger(partition) && Number.isSafeInteger(offset) ? { partition, offset } : undefined
}

interface FoundEvent {
  readonly record: KafkaRecord
  readonly body: Exclude<ParsedBody, { readonly reason: unknown }>
  readonly decode: Decode
  readonly of: { readonly topic: string; readonly partition: number }
}

/** Whether it is the event that was judged: offsets of another topic lead to anything. */
function isOf({ eventId, userId, timestamp }: Verdict, { record, body, decode, of }: FoundEvent): boolean {
  const origin = Object.assign(new RecordOrigin(record, of), { knownOnly: true })
  const event = decode(body.value, origin, body.json)
  if (!isEvent(event) || event.key !== userId) return false
  // By REST events get an id where they have none.
  if (verdictOf(record.headers)?.eventId === eventId) return true
  // One that is made of the place says nothing of a topic that was made anew.
  return event.id === eventId && (event.id !== origin.id || event.time === timestamp)
}

/** Avro has integers that a double cannot hold. */
function longAsText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
