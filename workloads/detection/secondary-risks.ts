import { addRisk, anomaliesAt, eventsAt, riskWidth } from './risk.ts'

/** Values of each secondary key that are remembered, at least, where nobody says how many. */
const defaultValues = 200_000
/** Of confirmed anomalies that have faded to so few nobody needs to know. */
const negligible = 1e-3

/** What is known of a value of a secondary key. */
export interface KnownRisk {
  /** In which partials are stored. */
  readonly name: string
  /** What was counted in this partition. */
  readonly own: Float32Array
  /** The sum of what was counted in the others, as far as it is known. */
  others: Float32Array | undefined
  /** When partials were read; -Infinity before the first time, when `own` may lack what was counted before. */
  readAt: number
}

/** Partials of a value as they are stored, by partition. */
export type Partials = ReadonlyMap<number, Uint8Array>

/**
 * The risks of the values of a pipeline's secondary keys, as one partition knows them. Its events are a part of a
 * value's: the partial that it counts, in memory, and those of other partitions, as they were last read, make the whole.
 * A partial is stored as a whole and never added to, so that writing it again changes nothing.
 *
 * From `begin` on what is counted can be undone, until it is committed. Values that did not occur for longest are
 * forgotten where there are too many.
 */
export class SecondaryRisks {
  readonly #tables: readonly RiskTable[]
  /** By the value, its partial before the batches in hand; undefined where nothing is to be undone. */
  #before: Map<KnownRisk, Float32Array> | undefined
  /** Values that were counted before it was read what is stored of them, and were joined with that since. */
  #joined: KnownRisk[] = []

  /** @param fields of the events, whose values these are */
  constructor(fields: readonly string[]) {
    this.#tables = fields.map((field) => new RiskTable(`${encodeURIComponent(field)}:`))
  }

  /** How many the pipeline has. */
  get secondaryKeys(): number {
    return this.#tables.length
  }

  /** Bounds the values of each secondary key: at least so many are remembered, and at most twice as many. */
  limit(values: number): void {
    for (const table of this.#tables) table.most = values
  }

  /** What is known of the value. @param s place of its secondary key among the pipeline's */
  of(s: number, value: string): KnownRisk {
    return this.#tables[s]!.of(value)
  }

  /** The value's own partial, to be changed. */
  changing(known: KnownRisk): Float32Array {
    if (this.#before?.has(known) === false) this.#before.set(known, known.own.slice())
    return known.own
  }

  /** A batch begins: what is counted from now on can be undone. */
  begin(): void {
    this.#before ??= new Map()
  }

  /** What was counted is for good. Answers with the names of values whose partials are to be stored, and which are risky. */
  commit(): ReadonlyMap<string, boolean> {
    const changed = new Map<string, boolean>()
    for (const known of this.#joined) changed.set(known.name, isRisky(known))
    for (const known of this.#before?.keys() ?? []) changed.set(known.name, isRisky(known))
    this.#joined = []
    this.#before = undefined
    return changed
  }

  rollback(): void {
    if (this.#before === undefined) return
    for (const [{ own }, before] of this.#before) own.set(before)
    this.#before = undefined
  }

  /** Values of the events' secondary keys that occur, each once. */
  valuesOf(events: Iterable<{ readonly secondaryKeys?: readonly string[] | undefined }>): ReadonlySet<KnownRisk> {
    const values = new Set<KnownRisk>()
    for (const { secondaryKeys = [] } of events) {
      for (let s = 0; s < this.#tables.length; s++) {
        const value = secondaryKeys[s] ?? ''
        if (value !== '') values.add(this.of(s, value))
      }
    }
    return values
  }

  /** Takes in what is stored of the value. @param own the partition whose partial is its own, if any */
  adopt(
    known: KnownRisk,
    partials: Partials,
    { own, at }: { readonly own?: number | undefined; readonly at: number },
  ): void {
    const isFirst = !wasRead(known)
    if (isFirst && known.own.some((x) => x !== 0)) this.#joined.push(known)
    known.readAt = at
    let others: Float32Array | undefined
    for (const [partition, bytes] of partials) {
      const part = readPartial(bytes)
      if (part === undefined) continue
      if (partition !== own) {
        others ??= new Float32Array(riskWidth)
        addRisk(others, part)
      } else if (isFirst) this.#join(known, part)
    }
    known.others = others
  }

  /** The value's own partial, to be stored; undefined where it may lack what is stored. */
  save(name: string): SavedPartial | undefined {
    const known = this.#find(name)
    if (known === undefined || !wasRead(known)) return undefined
    return { payload: writePartial(known.own), isRisky: isRisky(known) }
  }

  /** Of every value in memory. */
  *names(): Generator<string> {
    for (const table of this.#tables) for (const { name } of table.values()) yield name
  }

  /** What was stored before belongs to what was counted without knowing it. */
  #join(known: KnownRisk, stored: Float32Array): void {
    addRisk(known.own, stored)
    const before = this.#before?.get(known)
    if (before !== undefined) addRisk(before, stored)
  }

  #find(name: string): KnownRisk | undefined {
    for (const table of this.#tables)
      if (name.startsWith(table.prefix)) return table.find(name.slice(table.prefix.length))
    return undefined
  }
}

/** Confirmed anomalies of the value in all partitions, faded to the time. */
export function anomaliesOf({ own, others }: KnownRisk, time: number): number {
  return anomaliesAt(own, 0, time) + (others === undefined ? 0 : anomaliesAt(others, 0, time))
}

/** Its events, likewise. */
export function eventsOf({ own, others }: KnownRisk, time: number): number {
  return eventsAt(own, 0, time) + (others === undefined ? 0 : eventsAt(others, 0, time))
}

export const wasRead = ({ readAt }: KnownRisk): boolean => readAt !== Number.NEGATIVE_INFINITY

/** Of the value's own partial. */
const isRisky = ({ own }: KnownRisk): boolean => anomaliesAt(own, 0, Number.NaN) > negligible

/** A partial on its way to where it is stored. */
export interface SavedPartial {
  readonly payload: Uint8Array
  /** Whoever judges events of the value should know of it. */
  readonly isRisky: boolean
}

/** The risks of one secondary key's values. */
class RiskTable {
  readonly prefix: string
  most = defaultValues
  #recent = new Map<string, KnownRisk>()
  #former = new Map<string, KnownRisk>()

  constructor(prefix: string) {
    this.prefix = prefix
  }

  of(value: string): KnownRisk {
    let known = this.#recent.get(value)
    if (known !== undefined) return known
    known = this.#former.get(value) ?? this.#fresh(value)
    if (this.#recent.size >= this.most) {
      this.#former = this.#recent
      this.#recent = new Map()
    }
    this.#recent.set(value, known)
    return known
  }

  find(value: string): KnownRisk | undefined {
    return this.#recent.get(value) ?? this.#former.get(value)
  }

  *values(): Generator<KnownRisk> {
    yield* this.#recent.values()
    for (const [value, known] of this.#former) if (!this.#recent.has(value)) yield known
  }

  #fresh(value: string): KnownRisk {
    const own = new Float32Array(riskWidth)
    return { name: this.prefix + value, own, others: undefined, readAt: Number.NEGATIVE_INFINITY }
  }
}

function writePartial(partial: Float32Array): Uint8Array {
  const bytes = new Uint8Array(4 * riskWidth)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < riskWidth; i++) view.setFloat32(4 * i, partial[i]!, true)
  return bytes
}

/** undefined where it is none. */
function readPartial(bytes: Uint8Array): Float32Array | undefined {
  if (bytes.length !== 4 * riskWidth) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Float32Array.from({ length: riskWidth }, (_, i) => view.getFloat32(4 * i, true))
}
