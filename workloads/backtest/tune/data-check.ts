import type { EventMapping } from '../../../lib/pipeline/spec.ts'
import { median } from '../../detection/median.ts'
import { counted, formatDuration, formatNumber, formatShare, formatTime } from '../../terminal/wording.ts'
import { fieldReader } from '../../wire/event-fields.ts'
import type { Sample, SampledEvent } from './sample.ts'

/** Something in the data that makes detection worse. */
export interface Finding {
  /** In a few words, the same for all data. */
  readonly what: string
  /** Where and how much. */
  readonly seen: string
  /** What comes of it, and what can be done. */
  readonly so: string
}

/** Keys with fewer events are hardly judged by their own past. */
const fewEvents = 20
/** A pause of so many usual intervals is a gap. */
const gapIntervals = 20
/** Scales that differ by this factor are other units. */
const otherUnit = 300
/** Numbers from which a median says something. */
const enough = 20
const mostlyMissing = 0.5
/** More different texts than this are an identifier rather than a category. */
const manyTexts = 1000
const mostNamed = 3

/** What in a sample will hurt, worst kinds first. */
export function checkData(sample: Sample, mapping: EventMapping): readonly Finding[] {
  const { events } = sample
  if (events.length === 0) return []
  const byKey = Map.groupBy(events, ({ event }) => event.key)
  const fields = fieldsOf(sample, mapping)
  return [
    rejected(sample),
    missing(fields, events.length),
    constant(fields),
    ...units(fields, byKey),
    ...times(events, byKey, mapping),
    ...(mapping.key === '' ? [] : [youngKeys(byKey, events.length)]),
    duplicates(events, mapping),
    ...texts(events, mapping),
  ].filter((finding) => finding !== undefined)
}

interface Field {
  readonly name: string
  readonly of: (event: SampledEvent) => number
  /** Of the whole sample, without those that are absent. */
  readonly numbers: Float64Array
}

function fieldsOf({ events, features }: Sample, mapping: EventMapping): readonly Field[] {
  const field = (name: string, of: Field['of']): Field => ({ name, of, numbers: numbersOf(events, of) })
  return [
    ...(mapping.value === '' ? [] : [field(mapping.value, ({ event }) => event.value)]),
    ...features.map((name, f) => field(name, ({ event }) => event.features[f] ?? Number.NaN)),
  ]
}

function numbersOf(events: readonly SampledEvent[], of: Field['of']): Float64Array {
  return Float64Array.from(events.map(of).filter((x) => !Number.isNaN(x)))
}

function rejected({ rejectedBy, read }: Sample): Finding | undefined {
  if (rejectedBy.size === 0) return undefined
  const reasons = [...rejectedBy].map(([reason, count]) => `${reason} ${formatNumber(count)}`)
  return {
    what: 'Events that cannot be read',
    seen: `${reasons.join(', ')} of ${counted(read, 'row')}`,
    so: 'They are not judged; see them with anomaly backtest --rejects FILE',
  }
}

function missing(fields: readonly Field[], events: number): Finding | undefined {
  const absent = fields.filter(({ numbers }) => numbers.length < (1 - mostlyMissing) * events)
  if (absent.length === 0) return undefined
  const share = ({ name, numbers }: Field) => `${name} in ${formatShare(1 - numbers.length / events)}`
  return {
    what: 'Fields that are mostly missing',
    seen: named(absent.map(share)),
    so: 'What is absent lowers the confidence and is filled in for models; leave the field out, or send it always',
  }
}

function constant(fields: readonly Field[]): Finding | undefined {
  const still = fields.filter(({ numbers }) => numbers.length >= enough && numbers.every((x) => x === numbers[0]))
  if (still.length === 0) return undefined
  return {
    what: 'Fields that never change',
    seen: named(still.map(({ name, numbers }) => `${name} is always ${formatNumber(numbers[0]!)}`)),
    so: 'They say nothing until they change, and then whatever they change to is an anomaly',
  }
}

/** Scales that differ between keys, or change within one. */
function units(fields: readonly Field[], byKey: ReadonlyMap<string, readonly SampledEvent[]>): (Finding | undefined)[] {
  const between: string[] = []
  const within: string[] = []
  for (const { name, of } of fields) {
    const scales: { key: string; scale: number }[] = []
    let switched: string | undefined
    for (const [key, events] of byKey) {
      const numbers = numbersOf(events, of)
      if (numbers.length < enough) continue
      const scale = scaleOf(numbers)
      if (scale > 0) scales.push({ key, scale })
      switched ??= switchOf(key, numbers)
    }
    if (switched !== undefined) within.push(`${name} ${switched}`)
    scales.sort((a, b) => a.scale - b.scale)
    const [least, most] = [scales[Math.floor(scales.length / 20)], scales[Math.ceil((19 * scales.length) / 20) - 1]]
    if (least !== undefined && most !== undefined && most.scale >= otherUnit * least.scale)
      between.push(
        `${name} is usually ${formatNumber(least.scale)} for ${shown(least.key)} and ${formatNumber(most.scale)} for ${shown(most.key)}`,
      )
  }
  return [
    between.length === 0
      ? undefined
      : {
          what: 'Scales that differ between keys',
          seen: named(between),
          so: 'Each key is judged by its own past, but a forest sees all of them together: send one unit, or do without a forest',
        },
    within.length === 0
      ? undefined
      : {
          what: 'A scale that changes within a key',
          seen: named(within),
          so: 'Every value after such a change looks abnormal until it is learnt: was the unit changed?',
        },
  ]
}

function scaleOf(numbers: Float64Array): number {
  return median(numbers.map(Math.abs))
}

/** Where one part of a key's numbers is of another magnitude than the part before, and stays so. */
function switchOf(key: string, numbers: Float64Array): string | undefined {
  const parts = 8
  const size = Math.floor(numbers.length / parts)
  if (size < enough) return undefined
  const scales = Array.from({ length: parts }, (_, part) => scaleOf(numbers.slice(part * size, (part + 1) * size)))
  for (let part = 1; part < parts; part++) {
    const [before, after] = [
      median(Float64Array.from(scales.slice(0, part))),
      median(Float64Array.from(scales.slice(part))),
    ]
    if (Math.min(before, after) > 0 && Math.max(before, after) >= otherUnit * Math.min(before, after))
      return `of ${shown(key)} goes from about ${formatNumber(before)} to ${formatNumber(after)}`
  }
  return undefined
}

function times(
  events: readonly SampledEvent[],
  byKey: ReadonlyMap<string, readonly SampledEvent[]>,
  mapping: EventMapping,
): (Finding | undefined)[] {
  if (mapping.time === '') return []
  const untimed = events.filter(({ event }) => Number.isNaN(event.time)).length
  let late = 0
  let gaps = 0
  let keysWithGaps = 0
  let longest = { ms: 0, key: '', after: 0 }
  for (const [key, ofKey] of byKey) {
    const intervals: { ms: number; after: number }[] = []
    let latest = Number.NEGATIVE_INFINITY
    for (const { event } of ofKey) {
      if (event.time < latest) late++
      else {
        if (event.time > latest && latest > 0) intervals.push({ ms: event.time - latest, after: latest })
        latest = event.time
      }
    }
    if (intervals.length < enough) continue
    const sorted = Float64Array.from(intervals, ({ ms }) => ms).sort()
    // Events that come by chance have pauses of their own; only where they come regularly is a pause a gap.
    const usual = sorted[Math.floor(0.95 * sorted.length)]!
    const found = intervals.filter(({ ms }) => ms > gapIntervals * sorted[sorted.length >> 1]! && ms > 3 * usual)
    if (found.length > 0) keysWithGaps++
    gaps += found.length
    for (const { ms, after } of found) if (ms > longest.ms) longest = { ms, key, after }
  }
  const years = [events, mapping] as const
  return [
    untimed === 0
      ? undefined
      : {
          what: 'Events without a time',
          seen: `${mapping.time} is absent in ${formatShare(untimed / events.length)}`,
          so: 'Over past data they have none; live, the time of their arrival is taken',
        },
    otherTimeUnit(...years),
    late < events.length / 1000
      ? undefined
      : {
          what: 'Times that go back within a key',
          seen: `${formatShare(late / events.length)} of the events are earlier than one before them`,
          so: 'The interval of a late event is not judged; sort the file by time, or produce in order with the key of the event',
        },
    gaps === 0
      ? undefined
      : {
          what: 'Gaps in time',
          seen: `${formatNumber(gaps)} in ${counted(keysWithGaps, 'key')}, the longest ${formatDuration(longest.ms / 1000)} after ${formatTime(longest.after)}${longest.key === '' ? '' : ` of ${shown(longest.key)}`}`,
          so: 'The first event after a gap may alert for its interval, and what changed meanwhile is new; a calendar can say when gaps are expected',
        },
  ]
}

/** A thousand times as great or small as the others: milliseconds where seconds were meant. */
function otherTimeUnit(events: readonly SampledEvent[], { time }: EventMapping): Finding | undefined {
  const known = Float64Array.from(events.map(({ event }) => event.time).filter((at) => !Number.isNaN(at)))
  if (known.length < enough) return undefined
  const read = fieldReader(time)
  const written = new Map<number, number>()
  for (const { record } of events) {
    const digits = /^\d+/.exec(String(read(record.body as Record<string, unknown>) ?? ''))?.[0].length ?? 0
    if (digits >= 9) written.set(digits, (written.get(digits) ?? 0) + 1)
  }
  const units = Map.groupBy(written, ([digits]) => (digits < 12 ? 's' : digits < 15 ? 'ms' : digits < 18 ? 'µs' : 'ns'))
  const shares = [...units].map(
    ([unit, counts]) => `${formatNumber(counts.reduce((sum, [, n]) => sum + n, 0))} in ${unit}`,
  )
  if (shares.length > 1)
    return {
      what: 'Times in several units',
      seen: `${time}: ${shares.join(', ')}`,
      so: 'They are told apart by their magnitude, but who writes two units may mean two clocks',
    }
  const middle = median(known)
  if (middle >= Date.UTC(1990, 0, 1)) return undefined
  return {
    what: 'Times long ago',
    seen: `${time} is about ${formatTime(middle)}`,
    so: 'They may be no times since 1970, or in another unit: intervals, episodes and hours of the day depend on it',
  }
}

function youngKeys(byKey: ReadonlyMap<string, readonly SampledEvent[]>, events: number): Finding | undefined {
  const young = [...byKey.values()].filter(({ length }) => length < fewEvents)
  const ofThem = young.reduce((sum, { length }) => sum + length, 0)
  if (young.length === 0 || ofThem < events / 20) return undefined
  return {
    what: 'Keys with few events',
    seen: `${formatShare(young.length / byKey.size)} of ${counted(byKey.size, 'key')} have less than ${fewEvents} events, ${formatShare(ofThem / events)} of all events`,
    so: 'They have hardly a past of their own and are judged by the stream; a key that comes again says more',
  }
}

function duplicates(events: readonly SampledEvent[], { id }: EventMapping): Finding | undefined {
  if (id === '') return undefined
  const seen = new Set<string>()
  let twice = 0
  let example = ''
  for (const { event } of events) {
    if (seen.has(event.id)) {
      twice++
      example ||= event.id
    }
    seen.add(event.id)
  }
  if (twice === 0) return undefined
  return {
    what: 'Ids that come again',
    seen: `${formatNumber(twice)} of ${counted(events.length, 'event')}, such as ${shown(example)}`,
    so: 'Each is judged and learnt again; results and feedback know the first by its id. Is another field the id?',
  }
}

function texts(events: readonly SampledEvent[], { categories = [] }: EventMapping): (Finding | undefined)[] {
  return categories.map((name, c) => {
    const different = new Set(events.map(({ event }) => event.categories?.[c] ?? '')).size
    if (different <= manyTexts && different <= events.length / 2) return undefined
    return {
      what: 'A category with very many texts',
      seen: `${name} has ${formatNumber(different)} in ${counted(events.length, 'event')}`,
      so: 'Nearly every text is new, which says nothing: it is an id, or wants a coarser field',
    }
  })
}

function named(texts: readonly string[]): string {
  const more = texts.length - mostNamed
  return `${texts.slice(0, mostNamed).join('; ')}${more > 0 ? `; and ${formatNumber(more)} more` : ''}`
}

function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 37)}...` : text)
}
