import type { Pipeline } from '../../../lib/pipeline/spec.ts'
import type { Event } from '../../detection/event.ts'
import { FeatureSchema } from '../../detection/feature-schema.ts'
import { textHash } from '../../detection/text-hash.ts'
import type { InputCheck } from '../../files/input-check.ts'
import type { InputFile } from '../../files/input-files.ts'
import type { InputRecord } from '../../files/input-record.ts'
import { createDecode, isRejection, latestPlausibleTime } from '../../wire/decode.ts'
import { parseBody } from '../../wire/json-body.ts'
import type { Rejection } from '../../wire/rejection.ts'

/** An event, and the fields that it was read from. */
export interface SampledEvent {
  readonly record: InputRecord & { readonly body: object }
  readonly event: Event
}

export interface Sample {
  /** In order of the input. */
  readonly events: readonly SampledEvent[]
  /** By their place in an event. */
  readonly features: readonly string[]
  /** Rows that were read. */
  readonly read: number
  /** Whether that was all there are. */
  readonly isWhole: boolean
  /** Share of the keys whose events are in it. */
  readonly share: number
  readonly rejectedBy: ReadonlyMap<string, number>
}

export interface SampleOptions {
  readonly pipeline: Pipeline
  readonly files: readonly InputFile[]
  /** What is read of them. */
  readonly rows: AsyncIterable<readonly InputRecord[]>
  readonly label?: string | undefined
  /** Events in the sample. */
  readonly most: number
  /** Watches what is read. */
  readonly check: InputCheck
  readonly signal?: AbortSignal | undefined
}

/** Rows that are read at most, for each event of the sample. */
const readFor = 20
/** With fewer keys a part of them says too little: then it is the first events instead. */
const fewestKeys = 100

/**
 * The events of some keys, whole: whenever there are too many, half of the keys are left aside, by their hash. Of few keys it
 * is the first events. Neither memory nor time grow with the input.
 */
export async function takeSample(options: SampleOptions): Promise<Sample> {
  const { pipeline, files, rows, label, most, check, signal } = options
  const { event: mapping } = pipeline.spec
  const schema = new FeatureSchema()
  const decode = createDecode(mapping, schema, label === undefined ? {} : { ignore: [label] })
  const several = files.length > 1 || mapping.key === '$source'
  let events: SampledEvent[] = []
  let share = 1
  let read = 0

  function decoded(record: InputRecord): SampledEvent | undefined {
    const { rejection, value, source, row, key, text } = record
    const parsed = record.body === undefined ? parseBody(value) : { value: record.body, json: value }
    if (rejection !== undefined || 'reason' in parsed) {
      check.rejected(record, rejection ?? (parsed as Rejection))
      return undefined
    }
    const origin = {
      id: several ? `${source}:row-${row}` : `row-${row}`,
      source,
      recordKey: key ?? undefined,
      arrival: Number.NaN,
      latest: latestPlausibleTime,
      text,
    }
    let event = decode(parsed.value, origin, value)
    if ('unknown' in event) {
      schema.adopt([...schema.names, ...event.unknown], event.unknown)
      event = decode(parsed.value, origin, value)
    }
    if ('unknown' in event) return undefined
    if (isRejection(event)) {
      check.rejected(record, event)
      return undefined
    }
    check.judged(record, event)
    return { record: { ...record, body: parsed.value as object }, event }
  }

  const isIn = ({ event }: SampledEvent) => textHash(event.key) >>> 0 < share * 2 ** 32
  const sample = (isWhole: boolean): Sample => ({
    events,
    features: schema.names,
    read,
    isWhole,
    share,
    rejectedBy: check.rejectedBy,
  })
  for await (const some of rows) {
    signal?.throwIfAborted()
    for (const row of some) {
      if (read === most * readFor) return sample(false)
      if (events.length === most) {
        share /= 2
        const fewer = events.filter(isIn)
        if (new Set(fewer.map(({ event }) => event.key)).size < fewestKeys) {
          share *= 2
          return sample(false)
        }
        events = fewer
      }
      read++
      const one = decoded(row)
      if (one !== undefined && isIn(one)) events.push(one)
    }
  }
  return sample(true)
}
