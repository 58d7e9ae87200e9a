import { AppError } from '../../lib/errors.ts'
import { resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import type { EventBody } from '../rest/door.ts'
import { degradeWithoutStore, type FeatureStore } from '../state/state.ts'
import { createDecode, type Decode, futureTolerance, isEvent, isRejection } from '../wire/decode.ts'
import type { Rejection } from '../wire/rejection.ts'
import type { FeatureNames } from './feature-names.ts'

export interface EventReaderOptions {
  readonly pipeline: Pipeline
  readonly names: Pick<FeatureNames, 'schema' | 'extend'>
  readonly features: Pick<FeatureStore, 'last'>
  /** Milliseconds since 1970. */
  readonly wall: () => number
}

export interface EventReader {
  /** The event of a body; one without an id of its own has an empty one. Names that are new become known first. */
  read(body: EventBody): Event | Rejection | Promise<Event | Rejection>
  /** The events in order; those that left out all features have what was last seen of their keys. */
  complete(events: readonly Event[]): Promise<readonly Event[]>
}

export function createEventReader({ pipeline, names, features, wall }: EventReaderOptions): EventReader {
  const { source, event: mapping } = pipeline.spec
  const hasFeatures = resolveFeatures(mapping).type !== 'none'
  let current: { readonly schema: FeatureSchema; readonly decode: Decode } | undefined

  function decode(): Decode {
    const { schema } = names
    if (current?.schema !== schema) current = { schema, decode: createDecode(mapping, schema) }
    return current.decode
  }

  return {
    read({ text, value }) {
      const arrival = wall()
      const origin = { id: '', source: source.topic, recordKey: undefined, arrival, latest: arrival + futureTolerance }
      const decoded = decode()(value, origin, text)
      if (isEvent(decoded)) names.schema.use(decoded.features)
      if (isEvent(decoded) || isRejection(decoded)) return decoded
      return names.extend(decoded.unknown).then(() => {
        const known = decode()(value, { ...origin, knownOnly: true }, text)
        if (isEvent(known) || isRejection(known)) return known
        throw new AppError('Internal', `${known.unknown.join(', ')} should have been left aside`)
      })
    },

    async complete(events) {
      const bare = hasFeatures ? events.filter((event) => event.features.every(Number.isNaN)) : []
      if (bare.length === 0) return events
      const last = await features.last(bare.map(({ key }) => key)).catch(degradeWithoutStore)
      const bags = bare.map((_, i) => JSON.parse(last?.[i] ?? '{}') as Readonly<Record<string, number>>)
      await names.extend([...new Set(bags.flatMap(Object.keys))])
      const bagOf = new Map(bare.map((event, i) => [event, bags[i]!]))
      return events.map((event) => {
        const bag = bagOf.get(event)
        if (bag === undefined) return event
        return { ...event, features: names.schema.names.map((name) => bag[name] ?? Number.NaN) }
      })
    },
  }
}
