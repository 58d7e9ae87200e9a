import type { Headers } from '../../lib/kafka/records.ts'
import { resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { EventMapping } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import { type FeatureSchema, maxFeatures } from '../detection/feature-schema.ts'
import { type DecimalMark, isAbsentCell, numberOfCell } from './cell-number.ts'
import { openEnvelope } from './envelope.ts'
import { type FeatureOptions, featureBagReader, featureNames, fieldReader } from './event-fields.ts'
import { timeOf } from './event-time.ts'
import { writtenNumber } from './json-body.ts'
import { type Rejection, type RejectReason, shown } from './rejection.ts'

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
  /** Where CloudEvents has its attributes, of Kafka records. */
  readonly headers?: Headers | undefined
  /** Features that the schema lacks are left aside instead of being asked for. */
  readonly knownOnly?: boolean
  /** Numbers are text, as in CSV, where an empty cell is an absent field. */
  readonly text?: DecimalMark | undefined
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

/** The latest time that is accepted where there is no clock to compare with: the year 2100. */
export const latestPlausibleTime = Date.UTC(2100, 0, 1)
/** How far a time may lie ahead of the clock, in ms: a day, so that a wrong time zone is no reason to lose an event. */
export const futureTolerance = 86_400_000

export const maxIdLength = 256

/** `json` is what the body was parsed from, if anything: there ids and keys are found that a double cannot hold. */
export type Decode = (body: unknown, origin: Origin, json?: Buffer | string | null) => Decoded

/** A decoder of parsed JSON bodies (or CSV records) by the pipeline's mapping of fields. */
export function createDecode(mapping: EventMapping, schema: FeatureSchema, options: FeatureOptions = {}): Decode {
  const readId = identityReader(mapping, mapping.id, 'InvalidId')
  const readKey = identityReader(mapping, mapping.key, 'MissingKey')
  const readCategories = mapping.categories?.map((name) => identityReader(mapping, name, 'InvalidCategory'))
  const readSecondaryKeys = mapping.secondaryKeys?.map((name) => identityReader(mapping, name, 'InvalidCategory'))
  const readTime = fieldReader(mapping.time)
  const readValue = fieldReader(mapping.value)
  const readFeatures = featuresReader(mapping, schema, options)

  function keyOf(record: Fields, origin: Origin, json: Json): string | Rejection {
    if (mapping.key === '') return ''
    if (mapping.key === '$source') return origin.source
    const key = mapping.key === '$key' ? identityOf(origin.recordKey, '$key', 'MissingKey') : readKey(record, json)
    return key ?? { reason: 'MissingKey', field: mapping.key, message: `${mapping.key}: the event has no key` }
  }

  function timeIn(record: Fields, { arrival, latest, text }: Origin): number | Rejection {
    const raw = readTime(record)
    if (raw === undefined || raw === null || raw === '') return arrival
    if (text !== undefined && typeof raw === 'string' && isAbsentCell(raw)) return arrival
    const time = timeOf(raw)
    if (Number.isNaN(time)) return invalid('InvalidTime', mapping.time, raw, times)
    if (time <= latest) return time
    const message = `${mapping.time}: ${shown(raw)} lies in the far future`
    return { reason: 'InvalidTime', field: mapping.time, message }
  }

  return function decode(body, origin, json) {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      return { reason: 'NotAnObject', message: `the event is ${shown(body)}, not an object` }
    if (mapping.envelope === undefined) return read(body as Fields, body as Fields, origin, json)
    const opened = openEnvelope(mapping.envelope, body as Fields, origin.headers)
    if ('reason' in opened) return opened
    return read(opened.fields, opened.payload, origin, opened.json ?? json)
  }

  function read(record: Fields, payload: Fields, origin: Origin, json: Json): Decoded {
    const id = readId(record, json) ?? origin.id
    if (typeof id !== 'string') return id
    const key = keyOf(record, origin, json)
    if (typeof key !== 'string') return key
    const time = timeIn(record, origin)
    if (typeof time !== 'number') return time
    // Debezium writes decimals as text.
    const text = mapping.envelope === 'Debezium' ? (origin.text ?? 'Point') : origin.text
    const value = numberOf(readValue(record), text)
    if (value === undefined) return invalid('InvalidValue', mapping.value, readValue(record), 'a finite number')
    const features = readFeatures(record, payload, text, origin.knownOnly)
    if (!Array.isArray(features) && !('known' in features)) return features
    const event = Array.isArray(features)
      ? { id, time, key, value, features }
      : { id, time, key, value, features: features.known, isCut: true as const }
    if (readCategories === undefined && readSecondaryKeys === undefined) return event
    const categories = readCategories && textsOf(readCategories, record, json)
    if (categories !== undefined && 'reason' in categories) return categories
    const secondaryKeys = readSecondaryKeys && textsOf(readSecondaryKeys, record, json)
    if (secondaryKeys === undefined) return { ...event, categories: categories! }
    if ('reason' in secondaryKeys) return secondaryKeys
    return { ...event, ...(categories === undefined ? undefined : { categories }), secondaryKeys }
  }
}

/** The text of each field, '' where there is none. */
function textsOf(
  readers: readonly ReturnType<typeof identityReader>[],
  record: Fields,
  json: Json,
): readonly string[] | Rejection {
  const texts: string[] = []
  for (const read of readers) {
    const text = read(record, json) ?? ''
    if (typeof text !== 'string') return text
    texts.push(text)
  }
  return texts
}

type Fields = Record<string, unknown>
type Json = Parameters<Decode>[2]

const times = 'seconds, milliseconds, microseconds or nanoseconds since 1970, or an RFC 3339 date and time'

/** Reads an id or a key: text, or a number as it is written; undefined where there is none. */
function identityReader(mapping: EventMapping, path: string, reason: RejectReason) {
  const read = fieldReader(path.startsWith('$') ? '' : path)
  const readIn = (body: unknown) => {
    const { envelope } = mapping
    const opened = envelope === undefined ? undefined : openEnvelope(envelope, body as Fields, undefined)
    return read(opened === undefined || 'reason' in opened ? (body as Fields) : opened.fields)
  }
  return (record: Fields, json: Json): string | undefined | Rejection => {
    const raw = read(record)
    if (typeof raw !== 'number' || Number.isSafeInteger(raw) || !Number.isFinite(raw) || json == null)
      return identityOf(raw, path, reason)
    return identityOf(writtenNumber(raw, json, readIn, path), path, reason)
  }
}

function identityOf(raw: unknown, path: string, reason: RejectReason): string | undefined | Rejection {
  if (raw === undefined || raw === null || raw === '') return undefined
  if (typeof raw === 'boolean' && reason === 'InvalidCategory') return String(raw)
  const isNumber = typeof raw === 'bigint' || (typeof raw === 'number' && Number.isFinite(raw))
  if (typeof raw !== 'string' && !isNumber) return invalid(reason, path, raw, 'a string or a number')
  const text = String(raw)
  if (text.length > maxIdLength)
    return { reason, field: path, message: `${path}: ${text.length} characters, at most ${maxIdLength} are allowed` }
  if (!text.isWellFormed()) return { reason, field: path, message: `${path}: half of a surrogate pair is no text` }
  return text
}

/** A finite number; NaN for an absent one; undefined for what is no number. */
function numberOf(raw: unknown, text: DecimalMark | undefined): number | undefined {
  if (typeof raw === 'number') return Number.isFinite(raw) ? raw : undefined
  if (raw === undefined || raw === null) return Number.NaN
  if (typeof raw === 'bigint') return Number(raw)
  return text !== undefined && typeof raw === 'string' ? numberOfCell(raw, text) : undefined
}

/** Reads the features, one number per name of the schema. */
function featuresReader(mapping: EventMapping, schema: FeatureSchema, options: FeatureOptions) {
  const readBag = featureBagReader(mapping)
  const isFeature = featureNames(mapping, options)
  const features = resolveFeatures(mapping)
  const bagName = features.type === 'object' ? features.field : 'featureFields'

  function unreadable(name: string, raw: unknown): Rejection {
    const field = features.type === 'object' ? `${features.field}.${name}` : name
    return invalid('InvalidFeature', field, raw, 'a finite number')
  }

  function tooMany(count: number): Rejection {
    const message = `the event has ${count} features or more, at most ${maxFeatures} are allowed`
    return { reason: 'TooManyFeatures', field: bagName, message }
  }

  return (
    record: Fields,
    payload: Fields,
    text: DecimalMark | undefined,
    knownOnly: boolean | undefined,
  ): number[] | CutFeatures | Rejection | UnknownFeatures => {
    const bag = readBag(features.type === 'fields' ? payload : record)
    if (bag === undefined || bag === null) return []
    if (typeof bag !== 'object' || Array.isArray(bag))
      return invalid('InvalidFeature', bagName, bag, 'an object of numbers')
    const size = schema.size
    const numbers: number[] = new Array(size)
    for (let i = 0; i < size; i++) numbers[i] = Number.NaN
    const unknown: string[] = []
    let count = 0
    for (const name in bag as Fields) {
      if (!isFeature(name)) continue
      const feature = numberOf((bag as Fields)[name], text)
      if (feature === undefined) return unreadable(name, (bag as Fields)[name])
      if (++count > maxFeatures) return tooMany(count)
      const index = schema.indexOf(name)
      if (index !== undefined) numbers[index] = feature
      else if (!name.isWellFormed()) return invalidName(bagName)
      else unknown.push(name)
    }
    if (unknown.length === 0) return numbers
    const wanted = knownOnly === true ? [] : schema.wanted(unknown)
    return wanted.length > 0 ? { unknown: wanted } : { known: numbers }
  }
}

/** Of features of which the schema takes only a part. */
interface CutFeatures {
  readonly known: readonly number[]
}

function invalidName(bag: string): Rejection {
  return { reason: 'InvalidFeature', field: bag, message: `${bag}: half of a surrogate pair is no name` }
}

function invalid(reason: RejectReason, field: string, raw: unknown, allowed: string): Rejection {
  const name = field.length > maxIdLength ? `${field.slice(0, maxIdLength - 3)}...` : field
  return { reason, field: name, message: `${name}: ${shown(raw)} must be ${allowed}` }
}
