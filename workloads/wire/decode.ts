import { resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { EventMapping } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import { type FeatureSchema, maxFeatures } from '../detection/feature-schema.ts'

export const rejectReasons = [
  'MalformedJson',
  'NotAnObject',
  'MissingKey',
  'InvalidId',
  'InvalidTime',
  'InvalidValue',
  'InvalidFeature',
  'TooManyFeatures',
  'RaggedRow',
  'TooLarge',
  'Unreadable',
] as const
export type RejectReason = (typeof rejectReasons)[number]

/** Why an event could not be read. */
export interface Rejection {
  readonly reason: RejectReason
  /** The field at fault, as the event names it. */
  readonly field?: string
  readonly message: string
}

/** Where an event came from: what stands in for fields that it does not carry. */
export interface Origin {
  /** Id of an event without one: topic-partition-offset, or row-N. */
  readonly id: string
  /** `$source`: the topic or file. */
  readonly source: string
  /** `$key`: the Kafka record's key. */
  readonly recordKey: string | undefined
  /** Time of an event without one, in ms; NaN over past data, where arrival means nothing. */
  readonly arrival: number
  /** Times after this are refused as the far future, in ms. */
  readonly latest: number
  /** Features that the schema lacks are left aside instead of being asked for. */
  readonly knownOnly?: boolean
  /** Numbers are written as text, as in CSV, where an empty cell is an absent field. */
  readonly text?: boolean
}

/** An event carries features that the schema lacks: append them, then decode again. */
export interface UnknownFeatures {
  readonly unknown: readonly string[]
}

export type Decoded = Event | Rejection | UnknownFeatures

export function isRejection(decoded: Decoded): decoded is Rejection {
  return 'reason' in decoded
}

export function isEvent(decoded: Decoded): decoded is Event {
  return 'features' in decoded
}

/** The latest time that is still believed where there is no clock to compare with: the year 2100. */
export const latestPlausibleTime = Date.UTC(2100, 0, 1)
/** How far a time may lie ahead of the clock, in ms: a day, so that a wrong time zone is no reason to lose an event. */
export const futureTolerance = 86_400_000

export const maxIdLength = 256
/** Numbers below this are seconds since 1970 (up to the year 5138), from it on milliseconds (from 1973). */
const firstMillisecond = 1e11

export type Decode = (body: unknown, origin: Origin) => Decoded

export interface DecodeOptions {
  /** Fields that are never features, whatever the mapping says: labels. */
  readonly ignore?: readonly string[]
}

/** A decoder of parsed JSON bodies (or CSV records) by the pipeline's mapping of fields. */
export function createDecode(mapping: EventMapping, schema: FeatureSchema, options: DecodeOptions = {}): Decode {
  const readId = fieldReader(mapping.id)
  const readTime = fieldReader(mapping.time)
  const readKey = mapping.key.startsWith('$') ? () => undefined : fieldReader(mapping.key)
  const readValue = fieldReader(mapping.value)
  const features = resolveFeatures(mapping)
  const readBag: FieldReader =
    features.type === 'object'
      ? fieldReader(features.field)
      : features.type === 'fields'
        ? (record) => record
        : () => undefined
  const isFeature = featureNames(mapping, options)
  const fieldOf = (name: string) => (features.type === 'object' ? `${features.field}.${name}` : name)
  const bagName = features.type === 'object' ? features.field : 'featureFields'
  let unknown: string[] = []

  /** A finite number; NaN for an absent one; undefined for what is no number. */
  function numberOf(raw: unknown, text: boolean): number | undefined {
    if (typeof raw === 'number') return Number.isFinite(raw) ? raw : undefined
    if (raw === undefined || raw === null) return Number.NaN
    if (!text || typeof raw !== 'string') return undefined
    if (raw === '') return Number.NaN
    const parsed = Number(raw)
    // 0x10, 0b1 and 0o7 are numbers to JavaScript, and names to everybody else.
    if (Number.isInteger(parsed) && /[xbo]/i.test(raw)) return undefined
    return Number.isFinite(parsed) && raw.trim() !== '' ? parsed : undefined
  }

  return function decode(body, origin) {
    const text = origin.text === true
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      return { reason: 'NotAnObject', message: `the event is ${nameOf(body)}, not an object` }
    const record = body as Record<string, unknown>

    let id: string
    const rawId = readId(record)
    if (rawId === undefined || rawId === null || rawId === '') id = origin.id
    else {
      if (typeof rawId === 'string') id = rawId
      else if (typeof rawId === 'number' && Number.isFinite(rawId)) id = String(rawId)
      else return invalid('InvalidId', mapping.id, rawId, 'a string or a number')
      if (id.length > maxIdLength)
        return {
          reason: 'InvalidId',
          field: mapping.id,
          message: `${mapping.id}: ${id.length} characters, at most ${maxIdLength} are allowed`,
        }
    }

    let key: string
    if (mapping.key === '') key = ''
    else if (mapping.key === '$source') key = origin.source
    else {
      const rawKey = mapping.key === '$key' ? origin.recordKey : readKey(record)
      if (rawKey === undefined || rawKey === null || rawKey === '')
        return { reason: 'MissingKey', field: mapping.key, message: `${mapping.key}: the event has no key` }
      if (typeof rawKey === 'string') key = rawKey
      else if (typeof rawKey === 'number' && Number.isFinite(rawKey)) key = String(rawKey)
      else return invalid('MissingKey', mapping.key, rawKey, 'a string or a number')
      if (key.length > maxIdLength)
        return {
          reason: 'MissingKey',
          field: mapping.key,
          message: `${mapping.key}: ${key.length} characters, at most ${maxIdLength} are allowed`,
        }
    }

    let time = origin.arrival
    const rawTime = readTime(record)
    if (rawTime !== undefined && rawTime !== null && rawTime !== '') {
      time = timeOf(rawTime, text)
      if (Number.isNaN(time))
        return invalid(
          'InvalidTime',
          mapping.time,
          rawTime,
          'seconds or milliseconds since 1970, or an RFC 3339 date and time',
        )
      if (time > origin.latest)
        return {
          reason: 'InvalidTime',
          field: mapping.time,
          message: `${mapping.time}: ${JSON.stringify(rawTime)} lies in the far future`,
        }
    }

    const value = numberOf(readValue(record), text)
    if (value === undefined) return invalid('InvalidValue', mapping.value, readValue(record), 'a finite number')

    const size = schema.size
    let numbers: number[] = []
    const bag = readBag(record)
    if (bag !== undefined && bag !== null) {
      if (typeof bag !== 'object' || Array.isArray(bag))
        return invalid('InvalidFeature', bagName, bag, 'an object of numbers')
      numbers = new Array(size)
      for (let i = 0; i < size; i++) numbers[i] = Number.NaN
      if (unknown.length > 0) unknown = []
      let count = 0
      for (const name in bag as Record<string, unknown>) {
        if (!isFeature(name)) continue
        const feature = numberOf((bag as Record<string, unknown>)[name], text)
        if (feature === undefined)
          return invalid('InvalidFeature', fieldOf(name), (bag as Record<string, unknown>)[name], 'a finite number')
        if (++count > maxFeatures) return tooMany(count)
        const index = schema.indexOf(name)
        if (index !== undefined) numbers[index] = feature
        else if (origin.knownOnly !== true) unknown.push(name)
      }
      if (unknown.length > 0) {
        return schema.hasRoomFor(unknown.length) ? { unknown } : tooMany(size + unknown.length)
      }
    }
    return { id, time, key, value, features: numbers }
  }

  function tooMany(count: number): Rejection {
    return {
      reason: 'TooManyFeatures',
      field: bagName,
      message: `with this event the pipeline has ${count} features or more, at most ${maxFeatures} are allowed`,
    }
  }
}

/** Milliseconds since 1970 of seconds, milliseconds, RFC 3339 or a zoneless date-time (UTC); NaN for anything else. */
export function timeOf(raw: unknown, text: boolean): number {
  if (typeof raw === 'number') return fromNumber(raw)
  if (typeof raw !== 'string') return Number.NaN
  if (text && /^\d+(\.\d+)?$/.test(raw)) return fromNumber(Number(raw))
  const parts = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)\s*(Z|[+-]\d{2}:?\d{2})?)?$/i.exec(raw)
  if (parts === null) return Number.NaN
  const zone = parts[3]?.toUpperCase() ?? 'Z'
  return Date.parse(
    `${parts[1]}T${parts[2] ?? '00:00'}${zone.length === 5 ? `${zone.slice(0, 3)}:${zone.slice(3)}` : zone}`,
  )
}

function fromNumber(raw: number): number {
  if (!(raw >= 0) || !Number.isFinite(raw)) return Number.NaN
  return raw < firstMillisecond ? Math.round(raw * 1000) : raw
}

export type FieldReader = (record: Record<string, unknown>) => unknown

/** Reads `name` or, where no field of that whole name exists, the dotted path `a.b`. */
export function fieldReader(path: string): FieldReader {
  if (path === '') return () => undefined
  if (!path.includes('.')) return (record) => record[path]
  const steps = path.split('.')
  return (record) => {
    if (path in record) return record[path]
    let at: unknown = record
    for (const step of steps) {
      if (typeof at !== 'object' || at === null) return undefined
      at = (at as Record<string, unknown>)[step]
    }
    return at
  }
}

/** Whether a field of the object that holds the features, or of a flat event, is one. */
export function featureNames(mapping: EventMapping, options: DecodeOptions): (name: string) => boolean {
  const features = resolveFeatures(mapping)
  const ignored = new Set(options.ignore ?? [])
  return features.type === 'fields'
    ? featureMatcher(features.names, [mapping.id, mapping.time, mapping.key, mapping.value], ignored)
    : (name) => !ignored.has(name)
}

/** Whether a field of a flat event is a feature: named as it is, or by a pattern with `*` (which leaves out mapped fields). */
function featureMatcher(
  patterns: readonly string[],
  mapped: readonly string[],
  ignored: ReadonlySet<string>,
): (name: string) => boolean {
  const named = new Set(patterns.filter((pattern) => !pattern.includes('*')))
  const globs = patterns
    .filter((pattern) => pattern.includes('*'))
    .map((pattern) => new RegExp(`^${pattern.split('*').map(escapeRegExp).join('.*')}$`))
  const known = new Map<string, boolean>()
  return (name) => {
    let answer = known.get(name)
    if (answer === undefined) {
      answer =
        !ignored.has(name) && (named.has(name) || (!mapped.includes(name) && globs.some((glob) => glob.test(name))))
      if (known.size < 10 * maxFeatures) known.set(name, answer)
    }
    return answer
  }
}

function escapeRegExp(literal: string): string {
  return literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

function invalid(reason: RejectReason, field: string, raw: unknown, allowed: string): Rejection {
  return { reason, field, message: `${field}: ${nameOf(raw)} must be ${allowed}` }
}

/** A value for a message, cut short. */
function nameOf(raw: unknown): string {
  if (typeof raw === 'number') return String(raw)
  const text = JSON.stringify(raw) ?? String(raw)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
