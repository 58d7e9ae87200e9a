import { resolveFeatures } from '../../../lib/pipeline/resolve-pipeline.ts'
import type { EventMapping } from '../../../lib/pipeline/spec.ts'
import { type AnomalyKind, injectAnomaly } from '../../detection/injected-anomalies.ts'
import { type Random, random } from '../../detection/random.ts'
import type { InputRecord } from '../../files/input-record.ts'
import type { Sample, SampledEvent } from './sample.ts'

/** Where the records of an injected sample have their truth. */
export const injectedLabel = '$injected'

/** In one field of a key with a long history; those of `injected-anomalies.ts` that are anomalies of every series. */
const seriesKinds = ['spike', 'short burst', 'level shift', 'variance', 'frozen'] as const satisfies AnomalyKind[]
const shortKinds = ['spike', 'short burst'] as const satisfies AnomalyKind[]
/** Foreign: the numbers are those of another key. Mixture: each is that of another event, so that only together they are strange. */
type Kind = AnomalyKind | 'foreign' | 'mixture'

/** Events of a key before the first anomaly in it. */
const shortHistory = 20
/** With so many a key may have several, each in a stretch of so many. */
const longHistory = 500
/** Values that measure the size of an anomaly, and values that one may take with its surroundings. */
const before = 100
const longest = 130
const longAnomaly = 250

export interface InjectedSample {
  /** The sample, with 1 under the label in what was changed and 0 in the rest. */
  readonly rows: readonly InputRecord[]
  readonly injected: number
}

interface Field {
  readonly name: string
  readonly of: (at: SampledEvent) => number
  readonly path: readonly string[]
}

/** Puts anomalies into the second half of the keys' histories, as many as there are places for and `wanted` at most. */
export function injectAnomalies(
  { events, features }: Pick<Sample, 'events' | 'features'>,
  mapping: EventMapping,
  { wanted, seed }: { readonly wanted: number; readonly seed: number },
): InjectedSample {
  const chance = random(`anomalies ${seed}`)
  const fields = fieldsOf(mapping, features).filter(({ of }) => varies(events, of))
  const changed = new Map<number, Map<Field, number>>()
  let injected = 0
  if (fields.length > 0)
    for (const place of shuffled(placesOf(events), chance))
      if (injected < wanted && inject(place, { events, fields, changed, chance })) injected++
  const rows = events.map(({ record }, i) => {
    const fields = changed.get(i)
    const body: Record<string, unknown> = { ...record.body, [injectedLabel]: fields === undefined ? 0 : 1 }
    for (const [{ path }, x] of fields ?? []) put(body, path, x)
    return { ...record, body }
  })
  return { rows, injected }
}

/** Rows without time and key are no series: each stands for itself. */
export function isUnordered({ time, key }: EventMapping): boolean {
  return time === '' && key === ''
}

/** A stretch of a key's events that may hold an anomaly. */
interface Place {
  /** Events of the key, by their place in the sample. */
  readonly history: readonly number[]
  /** In the history. */
  readonly from: number
  readonly to: number
}

function placesOf(events: readonly SampledEvent[]): Place[] {
  const histories = new Map<string, number[]>()
  for (const [i, { event }] of events.entries()) {
    const history = histories.get(event.key)
    if (history === undefined) histories.set(event.key, [i])
    else history.push(i)
  }
  return [...histories.values()].flatMap((history) => {
    const { length } = history
    if (length <= shortHistory) return []
    const half = Math.max(length >> 1, shortHistory)
    if (length < longHistory) return [{ history, from: half, to: length }]
    const count = Math.floor((length - half) / longHistory) || 1
    const step = Math.floor((length - half) / count)
    return Array.from({ length: count }, (_, i) => ({ history, from: half + i * step, to: half + (i + 1) * step }))
  })
}

interface Injection {
  readonly events: readonly SampledEvent[]
  readonly fields: readonly Field[]
  readonly changed: Map<number, Map<Field, number>>
  readonly chance: Random
}

/** Whether there was anything to change. */
function inject({ history, from, to }: Place, { events, fields, changed, chance }: Injection): boolean {
  const room = to - from
  const isLong = room >= longAnomaly
  const kinds: Kind[] = isLong ? [...seriesKinds] : [...shortKinds]
  if (history.length < events.length) kinds.push('foreign')
  if (fields.length > 2) kinds.push('mixture')
  const kind = kinds[chance.int(kinds.length)]!
  const at = from + chance.int(Math.max(1, room - (isLong ? longest : 3)))
  const numbers = new Map<number, Map<Field, number>>()
  const change = (i: number, field: Field, x: number) => {
    if (!numbers.has(i)) numbers.set(i, new Map())
    numbers.get(i)!.set(field, x)
  }
  if (kind === 'foreign' || kind === 'mixture') {
    const other = events[chance.int(events.length)]!
    for (const field of fields) {
      const x = field.of(kind === 'foreign' ? other : events[chance.int(events.length)]!)
      if (!Number.isNaN(x) && !Number.isNaN(field.of(events[history[at]!]!))) change(history[at]!, field, x)
    }
  } else {
    const field = fields[chance.int(fields.length)]!
    const start = Math.max(0, at - before)
    const values = history.slice(start, Math.min(at + longest, to)).map((i) => field.of(events[i]!))
    if (values.some(Number.isNaN)) return false
    const length = injectAnomaly(kind, values, at - start, () => chance.next() || 0.5)
    for (let i = at; i < Math.min(at + length, to); i++) change(history[i]!, field, values[i - start]!)
  }
  const isChanged = [...numbers].some(([i, ofEvent]) => [...ofEvent].some(([{ of }, x]) => of(events[i]!) !== x))
  if (isChanged) for (const [i, ofEvent] of numbers) changed.set(i, ofEvent)
  return isChanged
}

function fieldsOf(mapping: EventMapping, features: readonly string[]): Field[] {
  const source = resolveFeatures(mapping)
  const bag = source.type === 'object' ? [source.field] : []
  const value: Field = { name: 'value', of: ({ event }) => event.value, path: [mapping.value] }
  return [
    ...(mapping.value === '' ? [] : [value]),
    ...features.map((name, f) => ({
      name,
      of: ({ event }: SampledEvent) => event.features[f] ?? Number.NaN,
      path: [...bag, name],
    })),
  ]
}

function varies(events: readonly SampledEvent[], of: Field['of']): boolean {
  const first = events.map(of).find((x) => !Number.isNaN(x))
  return first !== undefined && events.some((event) => !Number.isNaN(of(event)) && of(event) !== first)
}

/** Writes a number where `fieldReader` finds it, and copies what it changes. */
function put(body: Record<string, unknown>, [name, ...rest]: readonly string[], x: number): void {
  const steps = name! in body ? [name!] : name!.split('.')
  const path = [...steps, ...rest]
  let at = body
  for (const step of path.slice(0, -1)) at = at[step] = { ...(at[step] as object) } as Record<string, unknown>
  at[path.at(-1)!] = x
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[], chance: Random): T[] {
  const mixed = [...items]
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = chance.int(i + 1)
    const item = mixed[i]!
    mixed[i] = mixed[j]!
    mixed[j] = item
  }
  return mixed
}
