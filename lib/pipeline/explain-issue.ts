import type * as z from 'zod'
import { didYouMean } from './did-you-mean.ts'

/** As much of a JSON schema as it takes to say what a field allows. */
interface FieldSchema {
  readonly type?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly enum?: readonly string[]
  readonly properties?: Readonly<Record<string, FieldSchema>>
  readonly items?: FieldSchema
  readonly additionalProperties?: FieldSchema | boolean
}

export interface Explanation {
  readonly path: readonly (string | number)[]
  /** `spec.detection.detectors[1].isolationForest.trees: 0 must be between 10 and 1000` */
  readonly line: string
}

/** What is wrong with `document`, each with the path of the field, its value and what is allowed there. */
export function explainIssue(issue: z.core.$ZodIssue, document: unknown, schema: FieldSchema): Explanation[] {
  const path = issue.path as (string | number)[]
  const value = path.reduce<unknown>(
    (at, key) => (at as Readonly<Record<string, unknown>> | undefined)?.[key],
    document,
  )
  const field = path.reduce<FieldSchema | undefined>(fieldOf, schema)
  const explain = (text: string) => [{ path, line: `${formatPath(path)}: ${text}` }]

  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const meant = didYouMean(key, Object.keys(field?.properties ?? {}))
      const hint = meant === undefined ? '' : `, did you mean "${meant}"?`
      return { path: [...path, key], line: `${formatPath([...path, key])}: unknown field${hint}` }
    })
  const stated = isScalar(value) ? `${show(value)} ` : ''
  if (issue.code === 'custom') return explain(`${stated}${issue.message}`)
  if (value === undefined) return explain('is required')
  if (issue.message.startsWith('must ')) return explain(`${stated}${issue.message}`)
  if (field === undefined) return explain(`${stated}is not allowed`)
  if (issue.code === 'too_big' || issue.code === 'too_small')
    return explain(`${Array.isArray(value) ? '' : stated}must ${limits(field)}`)
  return explain(`${show(value)} must be ${expectation(field)}${suggestion(value, field)}`)
}

const isScalar = (value: unknown) => typeof value === 'string' || typeof value === 'number'

const fieldOf = (schema: FieldSchema | undefined, key: string | number): FieldSchema | undefined => {
  if (typeof key === 'number') return schema?.items
  const other = schema?.additionalProperties
  return schema?.properties?.[key] ?? (typeof other === 'object' ? other : undefined)
}

const formatPath = (path: readonly (string | number)[]) =>
  path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    if (!/^[\w$-]+$/.test(key)) return `${text}[${JSON.stringify(key)}]`
    return text === '' ? key : `${text}.${key}`
  }, '') || 'document'

function limits({ type, minimum, maximum, maxLength, minItems, maxItems }: FieldSchema): string {
  if (type === 'array') return `have ${minItems ? `${minItems} to` : 'at most'} ${maxItems} items`
  if (type === 'string') return `have at most ${maxLength} characters`
  return `be between ${minimum} and ${maximum}`
}

function suggestion(value: unknown, field: FieldSchema): string {
  const meant = typeof value === 'string' ? didYouMean(value, field.enum ?? []) : undefined
  return meant === undefined ? '' : `, did you mean "${meant}"?`
}

function expectation(field: FieldSchema): string {
  if (field.enum !== undefined)
    return field.enum.length === 1 ? JSON.stringify(field.enum[0]) : `one of ${field.enum.join(', ')}`
  if (field.type === 'integer') return `a whole number between ${field.minimum} and ${field.maximum}`
  return { string: 'a string', array: 'a list' }[field.type ?? ''] ?? 'an object'
}

/** The value as it was written, in at most 80 characters. */
function show(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
