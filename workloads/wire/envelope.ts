import type { Headers } from '../../lib/kafka/records.ts'
import type { EventMapping } from '../../lib/pipeline/spec.ts'
import { parseBody } from './json-body.ts'
import { type Rejection, shown } from './rejection.ts'

export type Envelope = NonNullable<EventMapping['envelope']>

type Fields = Readonly<Record<string, unknown>>

/** An event taken out of its envelope. */
export interface Opened {
  /** What the mapping finds: the event's own fields, those of the envelope, and the paths of both as they came. */
  readonly fields: Record<string, unknown>
  /** The event's own fields only. */
  readonly payload: Record<string, unknown>
  /** What the payload was parsed from, where the envelope held it as text. */
  readonly json?: string | undefined
}

export function openEnvelope(envelope: Envelope, body: Fields, headers: Headers | undefined): Opened | Rejection {
  return envelope === 'CloudEvents' ? openCloudEvent(body, headers) : openChange(body)
}

/** CloudEvents 1.0, structured (JSON) or binary (attributes in the record's headers, ce_id and so on). */
function openCloudEvent(body: Fields, headers: Headers | undefined): Opened | Rejection {
  if (body.specversion === undefined) {
    const attributes = attributesOf(headers)
    return { fields: { ...body, ...attributes, data: body }, payload: { ...body } }
  }
  const { data, data_base64: base64, ...attributes } = body
  let payload = data
  let json: string | undefined
  if (typeof base64 === 'string') json = Buffer.from(base64, 'base64').toString()
  else if (typeof data === 'string') json = data
  if (json !== undefined) {
    const parsed = parseBody(json)
    if ('reason' in parsed) return { ...parsed, field: 'data', message: `data: ${parsed.message}` }
    payload = parsed.value
  }
  if (payload === undefined || payload === null)
    return { reason: 'Tombstone', field: 'data', message: 'the event has no data' }
  if (!isObject(payload)) return { reason: 'NotAnObject', field: 'data', message: 'the data of the event is no object' }
  return { fields: { ...payload, ...attributes, data: payload }, payload, json }
}

function attributesOf(headers: Headers | undefined): Fields {
  const attributes: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(headers ?? {}))
    if (name.startsWith('ce_') && value !== undefined && value !== null) attributes[name.slice(3)] = String(value)
  return attributes
}

/** A change of a row as Debezium writes it, with its schema or without; the row as it is now is the event. */
function openChange(body: Fields): Opened | Rejection {
  const change = isObject(body.payload) ? body.payload : body
  // A row that was taken out of its envelope before.
  if (change.op === undefined) return { fields: { ...change, payload: change }, payload: { ...change } }
  const { after, ...others } = change
  if (!isObject(after))
    return { reason: 'Tombstone', field: 'after', message: `the change (op ${shown(change.op)}) leaves no row` }
  const payload = Object.fromEntries(Object.entries(after).map(([name, value]) => [name, unbranched(value)]))
  return { fields: { ...others, ...payload, after: payload, payload: { ...change, after: payload } }, payload }
}

const branches = new Set(['boolean', 'bytes', 'double', 'float', 'int', 'long', 'string'])

/** Without the type that Avro's JSON gives a value that may be null: `{"int": 7}`. */
function unbranched(value: unknown): unknown {
  if (!isObject(value)) return value
  const entries = Object.entries(value)
  return entries.length === 1 && branches.has(entries[0]![0]) ? entries[0]![1] : value
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
