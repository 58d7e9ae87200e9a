import type * as z from 'zod'

/** A rule over several fields of one object, held by the API server (CEL) and on a laptop (`holds`) with the same message. */
export interface Constraint<T> {
  readonly message: string
  readonly cel: string
  /** Absent for a rule about a change: `oldSelf` exists in a cluster only. */
  readonly holds?: (value: T) => boolean
  /** The field that the message is about; the object itself if absent. */
  readonly at?: string
}

/** `schema` with the constraints attached as refinements and as `x-kubernetes-validations`. */
export function constrain<T extends z.ZodType>(schema: T, ...constraints: readonly Constraint<z.output<T>>[]): T {
  let constrained = schema
  for (const { message, holds, at } of constraints)
    if (holds !== undefined)
      constrained = constrained.refine(holds, { error: message, path: at === undefined ? [] : [at] }) as T
  return constrained.meta({
    ...schema.meta(),
    'x-kubernetes-validations': constraints.map(({ message, cel, at }) => ({
      rule: cel,
      message,
      ...(at === undefined ? {} : { fieldPath: `.${at}` }),
    })),
  }) as T
}

type Given<Name extends string> = { readonly [K in Name]?: unknown }
const given = <Name extends string>(value: Given<Name>, names: readonly Name[]) =>
  names.filter((name) => value[name] !== undefined).length

/** A constraint of an object: of these fields exactly one is there. */
export const exactlyOne = <Name extends string>(...names: readonly Name[]): Constraint<Given<Name>> => ({
  message: `exactly one of ${names.join(', ')} must be given`,
  cel: `[${names.map((name) => `has(self.${name})`).join(', ')}].filter(given, given).size() == 1`,
  holds: (value) => given(value, names) === 1,
})

/** A constraint of an object: of these two fields at most one is there. */
export const notBoth = <Name extends string>(...names: readonly [Name, Name]): Constraint<Given<Name>> => ({
  message: `${names.join(' and ')} exclude each other`,
  cel: `!(${names.map((name) => `has(self.${name})`).join(' && ')})`,
  holds: (value) => given(value, names) < 2,
})

/** `schema` of a field that is always present (required or with a default) and keeps its first value. */
export const immutable = <T extends z.ZodType>(schema: T, message: string): T =>
  constrain(schema, { message, cel: 'self == oldSelf' })

/**
 * CEL, for a constraint of an object: the field at this dotted path keeps its first value, where absent and `absent` are
 * the same. (`self.?a.?b.orValue('')` would say it shorter, but the API server takes the length of what it returns for
 * unbounded and refuses the rule.)
 */
export const unchanged = (path: string, absent: string): string =>
  `${valueIn('self', path, absent)} == ${valueIn('oldSelf', path, absent)}`

/** CEL: the quantity at this dotted path never becomes smaller. */
export const notSmaller = (path: string, absent: string): string =>
  `quantity(${valueIn('self', path, absent)}).compareTo(quantity(${valueIn('oldSelf', path, absent)})) >= 0`

function valueIn(object: string, path: string, absent: string): string {
  const names = path.split('.')
  const present = names.map((_, index) => `has(${[object, ...names.slice(0, index + 1)].join('.')})`)
  return `(${present.join(' && ')} ? ${object}.${path} : '${absent}')`
}
