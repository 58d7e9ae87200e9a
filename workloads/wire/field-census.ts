import type { Headers } from '../../lib/kafka/records.ts'
import { didYouMean } from '../../lib/pipeline/did-you-mean.ts'
import { resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { type Envelope, openEnvelope } from './envelope.ts'
import { featureBagReader, featureNames, fieldReader } from './event-fields.ts'

/** A field that the pipeline names. */
interface LookedFor {
  /** Where the pipeline names it. */
  readonly at: string
  readonly name: string
  /** Whether it is the document's default, which nobody may have meant. */
  readonly isDefault: boolean
  readonly isIn: (body: Record<string, unknown>) => boolean
  found: number
}

const defaults = { id: 'eventId', time: 'timestamp', key: 'userId', value: 'value' } as const
const sampleSize = 1000
/** Names that are kept to say which were seen. */
const mostNames = 1000
const mostShown = 20
const deepest = 4

/** Counts in the first thousand events how many have each field that the pipeline names, and the names that they have. */
export class FieldCensus {
  readonly #fields: readonly LookedFor[]
  readonly #envelope: Envelope | undefined
  readonly #names = new Set<string>()
  #events = 0

  constructor(pipeline: Pipeline) {
    this.#fields = fieldsOf(pipeline)
    this.#envelope = pipeline.spec.event.envelope
  }

  get isFull(): boolean {
    return this.#events >= sampleSize
  }

  /** Counts an event; nothing once the census is full. */
  add(body: unknown, headers?: Headers | undefined): void {
    if (this.isFull || !isObject(body)) return
    const opened = this.#envelope === undefined ? undefined : openEnvelope(this.#envelope, body, headers)
    if (opened !== undefined && 'reason' in opened) return
    this.#events++
    for (const field of this.#fields) if (field.isIn(opened?.fields ?? body)) field.found++
    addNames(opened?.payload ?? body, '', 1, this.#names)
  }

  /** A line for each field that nearly no event has. */
  warnings(): readonly string[] {
    if (this.#events === 0) return []
    const warnings: string[] = []
    for (const { at, name, isDefault, found } of this.#fields) {
      if (found >= this.#events / 100) continue
      const meant = this.#meantBy(name)
      if (isDefault && meant === undefined) continue
      const share = `${found} of the first ${this.#events} events ${found === 1 ? 'has' : 'have'} it`
      warnings.push(`${at}: ${name}: ${share}; ${meant === undefined ? this.#seenNames() : `did you mean ${meant}?`}`)
    }
    return warnings
  }

  /** `looked for key: userId, value: value; the events have time, user` */
  summary(): string {
    const lookedFor = this.#fields.map(({ at, name, found }) => {
      const meant = found === 0 ? this.#meantBy(name) : undefined
      return `${at.slice(at.lastIndexOf('.') + 1)}: ${name}${meant === undefined ? '' : ` (did you mean ${meant}?)`}`
    })
    return `looked for ${lookedFor.length === 0 ? 'no field' : lookedFor.join(', ')}; ${this.#seenNames()}`
  }

  #meantBy(name: string): string | undefined {
    // Two letters are like any other two.
    if (name.length < 3) return undefined
    return didYouMean(
      name,
      [...this.#names].filter((other) => other !== name),
    )
  }

  #seenNames(): string {
    const names = [...this.#names].filter((name) => ![...this.#names].some((other) => other.startsWith(`${name}.`)))
    if (names.length === 0) return 'no event has any field'
    const shown = names.slice(0, mostShown).map((name) => (name.length > 60 ? `${name.slice(0, 57)}...` : name))
    const more = names.length - shown.length
    return `the events have ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
  }
}

function fieldsOf({ spec: { event, detection } }: Pipeline): readonly LookedFor[] {
  const fields: LookedFor[] = []
  const add = (at: string, name: string, isDefault: boolean, isIn: LookedFor['isIn']) =>
    fields.push({ at, name, isDefault, isIn, found: 0 })
  for (const field of ['id', 'time', 'key', 'value'] as const) {
    const name = event[field]
    if (name === '' || name.startsWith('$')) continue
    const read = fieldReader(name)
    add(`spec.event.${field}`, name, name === defaults[field], (body) => isThere(read(body)))
  }
  const readBag = featureBagReader(event)
  for (const name of event.categories ?? []) {
    const read = fieldReader(name)
    add('spec.event.categories', name, false, (body) => isThere(read(body)))
  }
  const features = resolveFeatures(event)
  if (features.type === 'object')
    add('spec.event.features', features.field, event.features === undefined, (body) => isThere(readBag(body)))
  const isFeature = (name: string) => featureNames({ ...event, featureFields: [name] }, {})
  const hasFeature = (name: string): LookedFor['isIn'] => {
    const matches = isFeature(name)
    return (body) => Object.entries(readBag(body) ?? {}).some(([name, value]) => matches(name) && isThere(value))
  }
  if (features.type === 'fields')
    for (const name of features.names) add('spec.event.featureFields', name, false, hasFeature(name))
  for (const { name: rule, field } of detection.rules)
    if (field !== 'value' && field !== 'mean(features)')
      add(`spec.detection.rules ${rule}`, field, false, (body) => {
        const bag = readBag(body)
        return isObject(bag) && isThere(bag[field])
      })
  return fields
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null && !(typeof value === 'string' && value.trim() === '')
}

function addNames(body: object, prefix: string, depth: number, names: Set<string>): void {
  for (const [name, value] of Object.entries(body)) {
    if (names.size >= mostNames) return
    if (name !== '') names.add(`${prefix}${name}`)
    if (isObject(value) && depth < deepest) addNames(value, `${prefix}${name}.`, depth + 1, names)
  }
}
