import * as z from 'zod'

/**
 * The building blocks of the pipeline document. Each carries its bounds, so that every number, string, list and map of
 * the document is bounded: the API server estimates the cost of CEL rules from them and refuses a CRD without them.
 */

/** A whole number from `min` to `max`. */
export const integer = (min: number, max: number) => z.int().min(min).max(max)

/** A string of at most `max` characters. */
export const text = (max: number) => z.string().max(max)

/** A string that matches `pattern`; `expected` says it in words and completes "… must be". */
export const pattern = (regex: RegExp, max: number, expected: string) =>
  z
    .string({ error: `must be ${expected}` })
    .max(max)
    .regex(regex, `must be ${expected}`)

/** One of a few words. */
export const choice = <const T extends readonly string[]>(values: T) => z.enum(values)

/** A group of fields; a field that is not declared is an error. */
export const object = <T extends z.core.$ZodShape>(shape: T) => z.strictObject(shape)

/** A list that is replaced as a whole. */
export const list = <T extends z.ZodType>(item: T, min: number, max: number) =>
  z.array(item).min(min).max(max).meta({ 'x-kubernetes-list-type': 'atomic' })

/** A list whose items are known by a field of theirs (`key`), which no two may share. */
export const listMap = <T extends z.ZodType>(item: T, key: string, min: number, max: number) =>
  z
    .array(item)
    .min(min)
    .max(max)
    .superRefine((items, context) => {
      const seen = new Set<unknown>()
      for (const [index, entry] of items.entries()) {
        const value = (entry as Readonly<Record<string, unknown>>)[key]
        const message = `must differ from the others by its ${key}, not ${JSON.stringify(value)} again`
        if (seen.has(value)) context.addIssue({ code: 'custom', path: [index], message })
        seen.add(value)
      }
    })
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [key] })

/** Strings by name. */
export const map = <T extends z.ZodType>(value: T, max: number) =>
  z
    .record(z.string(), value)
    .refine((entries) => Object.keys(entries).length <= max, { error: `must have at most ${max} entries` })
    .meta({ maxProperties: max })

/** As Kubernetes reads it, but for a sign: nothing here may be negative. */
const quantityPattern = /^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]{1,3})?$/
const quantityExpected = 'must be a quantity such as 500m, 2 or 1Gi'

/** What Kubernetes calls a quantity: an amount with an optional unit. */
export const quantity = () =>
  z
    .union([integer(0, Number.MAX_SAFE_INTEGER), z.string().max(32).regex(quantityPattern, quantityExpected)], {
      error: quantityExpected,
    })
    .meta({
      'x-kubernetes-int-or-string': true,
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      maxLength: 32,
      pattern: quantityPattern.source,
    })

/** A part of a Kubernetes type that is handed on as it is. */
export const anything = () => z.looseObject({}).meta({ 'x-kubernetes-preserve-unknown-fields': true })

/** A number with a fraction, as a string: API conventions allow no floats. */
export const decimal = () =>
  pattern(/^-?[0-9]{1,15}(\.[0-9]{1,15})?$/, 32, 'a decimal number in quotes, such as "100" or "0.5"')
