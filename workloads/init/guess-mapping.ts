import { isFieldPath } from '../../lib/pipeline/spec.ts'
import type { InputRecord } from '../files/input-record.ts'
import { isAbsentCell, numberOfCell } from '../wire/cell-number.ts'
import { timeOf } from '../wire/event-time.ts'
import { parseBody } from '../wire/json-body.ts'

/** What each field of the events seems to be. */
export interface GuessedMapping {
  readonly id: string | undefined
  readonly time: string | undefined
  readonly key: string | undefined
  readonly value: string | undefined
  /** A field with an object of numbers. */
  readonly features: string | undefined
  /** Numeric fields of the event itself. */
  readonly featureFields: readonly string[]
  /** Fields of 0 and 1 that look like the truth about the events. */
  readonly labels: readonly string[]
  /** What was seen, and taken for nothing. */
  readonly others: readonly string[]
}

interface Field {
  readonly name: string
  present: number
  numbers: number
  times: number
  texts: number
  isBinary: boolean
  readonly values: Set<string>
}

const names = {
  id: /^(event_?id|id|uuid|guid|message_?id|transaction_?id|trace_?id)$/i,
  time: /^(@?timestamp|time|ts|date|datetime|date_?time|ts_ms|event_?time|created(_?at)?|occurred_?at|when)$/i,
  key: /(user|customer|account|card|client|device|host|sensor|machine|node|pod|service|instance|merchant|session|tenant|series|station|key|name)(_?(id|no|number|key))?$/i,
  value: /^(value|amount|total|price|cost|temperature|load|latency|duration|bytes|usage|cpu|rate|count)$/i,
  label: /^(label|class|target|truth|y)$/i,
  binaryLabel: /^(fraud|is_?\w+|anomaly|outlier)$/i,
} as const

const earliest = Date.UTC(1990, 0, 1)
const latest = Date.UTC(2100, 0, 1)
/** The second column of a name. */
const doubled = / \(\d+\)$/
const deepest = 3
const mostFields = 1000

export function guessMapping(records: readonly InputRecord[]): GuessedMapping {
  const fields = fieldsOf(records)
  const rows = records.length
  const left = new Map(fields.map((field) => [field.name, field]))
  const take = (fits: (field: Field) => boolean, order: readonly RegExp[]): string | undefined => {
    const candidates = [...left.values()].filter(fits)
    const found = order.flatMap(
      (name) =>
        candidates.find((field) => name.test(lastOf(field.name)) || name.test(field.name.replaceAll('.', '_'))) ?? [],
    )[0]
    if (found !== undefined) left.delete(found.name)
    return found?.name
  }
  const isFull = (field: Field) => field.present >= 0.95 * rows
  const isUnique = (field: Field) => field.values.size >= 0.99 * field.present
  const any = /^/
  const labels = fields.filter(
    ({ name, isBinary }) =>
      names[isBinary ? 'binaryLabel' : 'label'].test(lastOf(name)) || names.label.test(lastOf(name)),
  )
  for (const { name } of [...labels, ...fields.filter(({ name }) => doubled.test(name))]) left.delete(name)
  const time = take(
    (field) => isFull(field) && field.times >= 0.95 * field.present,
    [names.time, /(time|date|_at)$/i, any],
  )
  const id = take((field) => isFull(field) && isUnique(field), [/^event_?id$/i, names.id])
  const repeats = (field: Field) => isFull(field) && field.values.size < 0.9 * field.present
  const isText = (field: Field) => field.texts > 0.5 * field.present
  const key =
    take(repeats, [/^(user|customer|account|card|device|host|sensor)_?(id|no|key)?$/i, names.key]) ??
    take((field) => repeats(field) && isText(field) && field.values.size > 1, [any])
  const isNumber = (field: Field) => field.numbers >= 0.9 * field.present
  const features = bagOf([...left.values()].filter(isNumber))
  for (const name of [...left.keys()]) if (features !== undefined && name.startsWith(`${features}.`)) left.delete(name)
  const value = take(isNumber, features === undefined ? [names.value, any] : [names.value])
  const numeric = [...left.values()].filter(isNumber).map(({ name }) => name)
  const featureFields = features === undefined ? numeric.slice(0, 256) : []
  for (const name of featureFields) left.delete(name)
  const others = [...left.keys()]
  return { id, time, key, value, features, featureFields, labels: labels.map(({ name }) => name), others }
}

/** The one object whose fields are numbers. */
function bagOf(numeric: readonly Field[]): string | undefined {
  const parents = new Set(
    numeric.filter(({ name }) => name.includes('.')).map(({ name }) => name.slice(0, name.lastIndexOf('.'))),
  )
  return parents.has('features') ? 'features' : undefined
}

function lastOf(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

function fieldsOf(records: readonly InputRecord[]): readonly Field[] {
  const fields = new Map<string, Field>()
  for (const { body, value, text } of records) {
    const parsed = body === undefined ? parseBody(value) : { value: body }
    if ('value' in parsed) addFields(parsed.value, '', 1, fields, text ?? undefined)
  }
  return [...fields.values()].filter(({ name, present }) => present > 0 && isFieldPath(name))
}

function addFields(
  body: unknown,
  prefix: string,
  depth: number,
  fields: Map<string, Field>,
  text: InputRecord['text'],
): void {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return
  for (const [last, value] of Object.entries(body)) {
    const name = `${prefix}${last}`
    if (typeof value === 'object') {
      if (depth < deepest) addFields(value, `${name}.`, depth + 1, fields, text)
    } else if (fields.has(name) || fields.size < mostFields) addValue(name, value, fields, text)
  }
}

function addValue(name: string, value: unknown, fields: Map<string, Field>, text: InputRecord['text']): void {
  const field = fields.get(name) ?? {
    name,
    present: 0,
    numbers: 0,
    times: 0,
    texts: 0,
    isBinary: true,
    values: new Set(),
  }
  fields.set(name, field)
  if (typeof value === 'string' && (text === undefined ? value === '' : isAbsentCell(value))) return
  field.present++
  field.values.add(String(value))
  const number = typeof value === 'number' ? value : text !== undefined ? numberOfCell(String(value), text) : undefined
  if (number !== undefined) field.numbers++
  else field.texts++
  if (number !== 0 && number !== 1 && typeof value !== 'boolean') field.isBinary = false
  const time = timeOf(value)
  if (time >= earliest && time < latest) field.times++
}
