import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import { hashOf } from './categories.ts'
import type { SlotMemory } from './detector.ts'
import type { Event } from './event.ts'
import type { FeatureSchema } from './feature-schema.ts'
import { loadTime, SlotPages, storeTime } from './slot-pages.ts'

/** A window is kept as so many parts of equal length, and of the part before them what is still in it. */
const parts = 8
/** Until a key had so many numbers nothing is usual. */
const leastUsual = 3
const usualWeight = 100
const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

type DerivedSpec = NonNullable<DetectionSpec['derivedFeatures']>[number]

/** One number of an event, made of those before it of its key. */
interface Derived {
  readonly name: string
  /** Numbers that it keeps of a key. */
  readonly width: number
  /** The number of the next event; NaN where there is none. Learns the event. */
  next(page: Float32Array, at: number, event: Event): number
}

/** Features that are made of the history of an event's key, beside those that it carries. */
export class DerivedFeatures implements SlotMemory {
  readonly bytesPerKey: number
  readonly #schema: FeatureSchema
  readonly #derived: readonly Derived[]
  readonly #pages: SlotPages
  /** Of what is kept: other derived features begin anew. */
  readonly #layout: number

  constructor(specs: readonly DerivedSpec[], schema: FeatureSchema) {
    this.#schema = schema
    this.#layout = hashOf(JSON.stringify(specs))
    this.#derived = specs.map((spec) => derivedOf(spec, schema))
    this.#pages = new SlotPages(this.#derived.reduce((sum, { width }) => sum + width, 0))
    this.bytesPerKey = 4 * (1 + this.#pages.width)
  }

  /** The event with its derived features, those that the schema knows. Learns it. */
  extend(slot: number, event: Event): Event {
    const features = [...event.features]
    while (features.length < this.#schema.size) features.push(Number.NaN)
    const page = this.#pages.page(slot)
    let at = this.#pages.offset(slot)
    for (const derived of this.#derived) {
      const x = derived.next(page, at, event)
      const index = this.#schema.indexOf(derived.name)
      if (index !== undefined) features[index] = Number.isFinite(x) ? x : Number.NaN
      at += derived.width
    }
    // No event carries them, and they must not expire for that.
    this.#schema.use(features)
    return { ...event, features }
  }

  reset(slot: number): void {
    this.#pages.clear(slot)
  }

  save(slot: number, into: DataView, offset: number): void {
    into.setFloat32(offset, this.#layout, true)
    this.#pages.save(slot, into, offset + 4)
  }

  load(slot: number, from: DataView, offset: number, length: number): void {
    if (length !== this.bytesPerKey || from.getFloat32(offset, true) !== this.#layout) return
    this.#pages.load(slot, from, offset + 4)
  }

  trim(slots: number): void {
    this.#pages.trim(slots)
  }
}

function derivedOf(spec: DerivedSpec, schema: FeatureSchema): Derived {
  const { name, count, sum, sinceLast, ratio, change } = spec
  if (count !== undefined) return inWindow(name, count.window, () => 1)
  if (sum !== undefined) return inWindow(name, sum.window, readerOf(sum.field, schema))
  if (sinceLast !== undefined) return sinceLastOf(name)
  if (ratio !== undefined) return ratioOf(name, readerOf(ratio.field, schema))
  return changeOf(name, readerOf(change!.field, schema))
}

function readerOf(field: string, schema: FeatureSchema): (event: Event) => number {
  if (field === 'value') return ({ value }) => value
  return ({ features }) => {
    const index = schema.indexOf(field)
    return index === undefined ? Number.NaN : (features[index] ?? Number.NaN)
  }
}

/** Sum over a sliding window that ends with the event. Kept: where the newest part begins, then the parts from the newest. */
function inWindow(name: string, window: string, read: (event: Event) => number): Derived {
  const partMs = (Number.parseInt(window, 10) * unitMs[window.at(-1)!]!) / parts
  return {
    name,
    width: 2 + parts + 1,
    next(page, at, event) {
      const { time } = event
      if (Number.isNaN(time)) return Number.NaN
      const first = at + 2
      const begin = Math.floor(time / partMs) * partMs
      const former = loadTime(page, at)
      // What comes late counts as if it came with the newest.
      const passed = former === 0 ? parts + 1 : Math.max(0, Math.round((begin - former) / partMs))
      if (passed > 0) {
        for (let p = parts; p >= 0; p--) page[first + p] = p >= passed ? page[first + p - passed]! : 0
        storeTime(page, at, begin)
      }
      const x = read(event)
      if (!Number.isNaN(x)) page[first] = page[first]! + x
      const over = Math.min(1, Math.max(0, (time - loadTime(page, at)) / partMs))
      let sum = page[first + parts]! * (1 - over)
      for (let p = 0; p < parts; p++) sum += page[first + p]!
      return sum
    },
  }
}

/** Seconds since the key's last event. */
function sinceLastOf(name: string): Derived {
  return {
    name,
    width: 2,
    next(page, at, { time }) {
      if (Number.isNaN(time)) return Number.NaN
      const last = loadTime(page, at)
      if (time > last) storeTime(page, at, time)
      return last === 0 || time < last ? Number.NaN : (time - last) / 1000
    },
  }
}

/** Over the mean of the key's numbers before. Kept: their number and mean. */
function ratioOf(name: string, read: (event: Event) => number): Derived {
  return {
    name,
    width: 2,
    next(page, at, event) {
      const x = read(event)
      if (Number.isNaN(x)) return Number.NaN
      const weight = page[at]!
      const mean = page[at + 1]!
      page[at] = Math.min(usualWeight, weight + 1)
      page[at + 1] = mean + (x - mean) / page[at]!
      return weight < leastUsual || mean === 0 ? Number.NaN : x / mean
    },
  }
}

/** By how much a number changed since the key's last event, a second. Kept: time and number. */
function changeOf(name: string, read: (event: Event) => number): Derived {
  return {
    name,
    width: 3,
    next(page, at, event) {
      const x = read(event)
      const { time } = event
      if (Number.isNaN(x) || Number.isNaN(time)) return Number.NaN
      const last = loadTime(page, at)
      const former = page[at + 2]!
      if (last !== 0 && time <= last) return Number.NaN
      storeTime(page, at, time)
      page[at + 2] = x
      return last === 0 ? Number.NaN : (x - former) / ((time - last) / 1000)
    },
  }
}
