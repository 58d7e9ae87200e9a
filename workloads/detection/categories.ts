import type { KeyedDetector, SharedMemory, Surprisal } from './detector.ts'
import type { Event } from './event.ts'
import { categoryField, type Evidence } from './evidence.ts'
import { SlotPages } from './slot-pages.ts'
import { TailHistogram, type TailShape } from './tail-histogram.ts'

/** Values of a key that are counted one by one. */
const keptValues = 12
/** Of a field and key: events, events with a value that was not kept, then hash and count of each kept value. */
const numbersPerField = 2 + 2 * keptValues
/** Counts of a key are halved beyond so many events, those of the stream beyond so many more: the far past fades. */
const mostEvents = 4096
const mostStreamEvents = 65_536
/** Rows of counters of the stream, by two hashes: the smaller of a value's two is at least its count (Cormode & Muthukrishnan 2005). */
const rows = 2
const counters = 1024
const shape: TailShape = { bins: 128, min: 0, width: 0.25, capacity: 20_000, priorShape: 1, priorCount: 10 }

/**
 * How rare the values of an event's categories are for its key, and where they are, for the whole stream: a country that
 * a user never paid from counts more when nobody pays from there. Per key and field it keeps the most frequent values
 * (Misra & Gries 1982), so that a key of any number of values costs the same.
 */
export class Categories implements KeyedDetector {
  readonly name = 'categories'
  readonly layout: string
  readonly refractoryEvents = 0
  readonly bytesPerKey: number
  readonly #fields: number
  readonly #pages: SlotPages
  readonly #stream: readonly StreamCounts[]

  constructor(names: readonly string[]) {
    this.layout = `categories 1 ${JSON.stringify(names)}`
    this.#fields = names.length
    this.#pages = new SlotPages(numbersPerField * names.length)
    this.bytesPerKey = 4 * this.#pages.width
    this.#stream = names.map(() => new StreamCounts())
  }

  observe(slot: number, { categories = [] }: Event, evidence: Evidence): Surprisal {
    const page = this.#pages.page(slot)
    let most = 0
    for (let c = 0; c < this.#fields; c++) {
      const value = categories[c] ?? ''
      if (value === '') continue
      const at = this.#pages.offset(slot) + c * numbersPerField
      const stream = this.#stream[c]!
      const hash = hashOf(value)
      const place = placeOf(page, at, hash)
      const events = page[at]!
      const seen = place < 0 ? 0 : page[place + 1]!
      // Laplace's estimate of a value as rare as this: all that are not kept are taken together.
      const forKey = -Math.log((seen + page[at + 1]! + 1) / (events + 2))
      const raw = forKey + Math.min(forKey, stream.rarity(hash))
      const surprisal = stream.history.surprisal(raw)
      stream.history.add(raw)
      stream.count(hash)
      countFor(page, at, hash, place)
      if (surprisal > 0) evidence.offer(categoryField(c), seen, events, surprisal)
      most = Math.max(most, surprisal)
    }
    // The largest of several is larger by chance alone (Bonferroni).
    return Math.max(0, most - Math.log(this.#fields))
  }

  reset(slot: number): void {
    this.#pages.clear(slot)
  }

  save(slot: number, into: DataView, offset: number): void {
    this.#pages.save(slot, into, offset)
  }

  load(slot: number, from: DataView, offset: number, length: number): void {
    if (length !== this.bytesPerKey) throw new RangeError(`${length} bytes are no memory of ${this.#fields} categories`)
    this.#pages.load(slot, from, offset)
  }

  trim(slots: number): void {
    this.#pages.trim(slots)
  }

  readonly shared: SharedMemory = {
    save: () => {
      const bytes = new Uint8Array(StreamCounts.bytes * this.#fields)
      const view = new DataView(bytes.buffer)
      for (const [c, stream] of this.#stream.entries()) stream.save(view, c * StreamCounts.bytes)
      return bytes
    },
    load: (bytes) => {
      if (bytes.byteLength !== StreamCounts.bytes * this.#fields)
        throw new RangeError(`${bytes.byteLength} bytes are no shared memory of ${this.#fields} categories`)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      for (const [c, stream] of this.#stream.entries()) stream.load(view, c * StreamCounts.bytes)
    },
  }
}

/** How often values occurred in the whole stream, and how rare those of its events were. */
class StreamCounts {
  static readonly bytes = 4 * (1 + rows * counters) + new TailHistogram(shape).bytes
  readonly history = new TailHistogram(shape)
  readonly #counts = new Float32Array(1 + rows * counters)

  /** -ln of the share of events with the value. */
  rarity(hash: number): Surprisal {
    const count = Math.min(this.#counts[firstOf(hash)]!, this.#counts[secondOf(hash)]!)
    return -Math.log((count + 1) / (this.#counts[0]! + 2))
  }

  count(hash: number): void {
    const counts = this.#counts
    counts[firstOf(hash)]! += 1
    counts[secondOf(hash)]! += 1
    counts[0]! += 1
    if (counts[0]! > mostStreamEvents) for (let i = 0; i < counts.length; i++) counts[i] = counts[i]! / 2
  }

  save(view: DataView, offset: number): void {
    for (let i = 0; i < this.#counts.length; i++) view.setFloat32(offset + 4 * i, this.#counts[i]!, true)
    this.history.save(view, offset + 4 * this.#counts.length)
  }

  load(view: DataView, offset: number): void {
    for (let i = 0; i < this.#counts.length; i++) this.#counts[i] = view.getFloat32(offset + 4 * i, true)
    this.history.load(view, offset + 4 * this.#counts.length)
  }
}

const firstOf = (hash: number): number => 1 + (hash & (counters - 1))
const secondOf = (hash: number): number => 1 + counters + ((hash >>> 10) & (counters - 1))

/** Where the value of the hash is kept; -1 where it is not. */
function placeOf(page: Float32Array, at: number, hash: number): number {
  for (let place = at + 2; place < at + numbersPerField; place += 2)
    if (page[place] === hash && page[place + 1]! > 0) return place
  return -1
}

function countFor(page: Float32Array, at: number, hash: number, place: number): void {
  page[at]! += 1
  if (place >= 0) page[place + 1]! += 1
  else {
    page[at + 1]! += 1
    keep(page, at, hash)
  }
  if (page[at]! <= mostEvents) return
  page[at] = Math.floor(page[at]! / 2)
  page[at + 1] = Math.floor(page[at + 1]! / 2)
  for (let one = at + 2; one < at + numbersPerField; one += 2) page[one + 1] = Math.floor(page[one + 1]! / 2)
}

/** In a free place; where there is none, all kept values lose one. */
function keep(page: Float32Array, at: number, hash: number): void {
  for (let place = at + 2; place < at + numbersPerField; place += 2) {
    if (page[place + 1] !== 0) continue
    page[place] = hash
    page[place + 1] = 1
    return
  }
  for (let place = at + 2; place < at + numbersPerField; place += 2) page[place + 1]! -= 1
}

/** FNV-1a with MurmurHash3's finaliser, in the 24 bits that a 32-bit float holds. */
export function hashOf(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) & 0xffffff
}
