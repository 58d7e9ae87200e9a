import type { Event } from './event.ts'
import type { FeatureSchema } from './feature-schema.ts'
import type { Profile } from './profile.ts'

interface RowField {
  readonly name: string
  read(event: Event): number
}

export interface RowLayoutOptions {
  readonly schema: FeatureSchema
  readonly hasValue: boolean
  readonly hasKey: boolean
  /** Its view of the event last observed becomes part of the row. */
  readonly profile: Profile | undefined
}

/** Events as the model sees them: the value, the profile's view of value and interval, then the features of the schema. */
export class RowLayout {
  readonly #schema: FeatureSchema
  readonly #fields: readonly RowField[]
  #columns: readonly string[]

  constructor({ schema, hasValue, hasKey, profile }: RowLayoutOptions) {
    this.#schema = schema
    this.#fields = fieldsOf(hasValue, hasKey, profile)
    this.#columns = this.#fields.map(({ name }) => name)
  }

  /** Names of the columns as the schema is now: the same list for as long as it does not grow. */
  get columns(): readonly string[] {
    if (this.#columns.length < this.#fields.length + this.#schema.size)
      this.#columns = [...this.#fields.map(({ name }) => name), ...this.#schema.names]
    return this.#columns
  }

  /** Writes the row of the event that the profile has just observed to `at`, `width` numbers. */
  write(event: Event, rows: Float64Array, at: number, width: number): void {
    const end = at + width
    let to = at
    for (const field of this.#fields) rows[to++] = field.read(event)
    const { features } = event
    for (let f = 0; f < features.length; f++) rows[to++] = features[f]!
    while (to < end) rows[to++] = Number.NaN
  }
}

function fieldsOf(hasValue: boolean, hasKey: boolean, profile: Profile | undefined): readonly RowField[] {
  const fields: RowField[] = []
  if (hasValue) fields.push({ name: 'value', read: (event) => event.value })
  if (profile === undefined || !hasKey) return fields
  if (hasValue) fields.push({ name: 'value.deviation', read: () => squashed(profile.valueDeviation) })
  fields.push({ name: 'interval.deviation', read: () => squashed(profile.intervalDeviation) })
  return fields
}

/** Random splits between extremes would see nothing but the most extreme deviation: on a logarithmic scale they see all. */
function squashed(deviation: number): number {
  return Math.sign(deviation) * Math.log1p(Math.abs(deviation))
}
