import { textHash } from '../detection/text-hash.ts'

const none = -1
/** Slots that are made at once in the beginning. */
const least = 1024

/**
 * Keys in slots 0 … capacity-1: an open-addressing hash table with a list in order of use, so that the slot of the key
 * unused for longest is the next to be reused. About 40 bytes a key beside the key's own text (a Map costs twice that).
 */
export class KeyTable {
  /** May be lowered: keys beyond it stay until they are deleted. */
  capacity: number
  readonly #keys: string[] = []
  #hash = new Int32Array(least)
  #newer = new Int32Array(least)
  #older = new Int32Array(least)
  #table = new Int32Array(4 * least).fill(none)
  #newest = none
  #oldest = none
  readonly #free: number[] = []
  #size = 0

  constructor(capacity: number) {
    if (!(capacity >= 1)) throw new RangeError('a key table holds at least one key')
    this.capacity = Math.floor(capacity)
  }

  get size(): number {
    return this.#size
  }

  /** The key's slot, now the most recently used; -1 for an unknown key. */
  find(key: string): number {
    const slot = this.#lookup(key, textHash(key))
    if (slot !== none && slot !== this.#newest) {
      this.#unlink(slot)
      this.#linkNewest(slot)
    }
    return slot
  }

  /** The key's slot, its place in the order of use left as it is; -1 for an unknown key. */
  peek(key: string): number {
    return this.#lookup(key, textHash(key))
  }

  /** The key whose slot `insert` would take next; undefined while there is room. */
  get nextEvicted(): string | undefined {
    return this.#size < this.capacity ? undefined : this.#keys[this.#oldest]
  }

  /** A slot for a key that is not in the table: a fresh one, or that of the key unused for longest. */
  insert(key: string): number {
    if (this.#size >= this.capacity) this.delete(this.#keys[this.#oldest]!)
    const slot = this.#free.pop() ?? this.#keys.length
    if (slot === this.#hash.length) this.#resize(2 * slot)
    const hash = textHash(key)
    this.#keys[slot] = key
    this.#hash[slot] = hash
    if ((this.#size + 1) * 2 > this.#table.length) this.#rehash(this.#table.length * 2)
    this.#place(slot, hash)
    this.#linkNewest(slot)
    this.#size++
    return slot
  }

  delete(key: string): void {
    const slot = this.#lookup(key, textHash(key))
    if (slot === none) return
    this.#unplace(slot)
    this.#unlink(slot)
    this.#keys[slot] = ''
    this.#free.push(slot)
    this.#size--
  }

  hashAt(slot: number): number {
    return this.#hash[slot]!
  }

  keyAt(slot: number): string {
    return this.#keys[slot]!
  }

  /** Keys from the most to the least recently used. */
  *keys(): Generator<string> {
    for (let slot = this.#newest; slot !== none; slot = this.#older[slot]!) yield this.#keys[slot]!
  }

  /** Slots that hold a key or held one: memory by slot reaches so far. */
  get slots(): number {
    return this.#keys.length
  }

  /**
   * Gives the keys the slots 0 … size-1. `move` is told of each key that gets another slot, before the table gives up the
   * old one.
   */
  compact(move: (from: number, to: number) => void): void {
    const size = this.#size
    const free = this.#free.filter((slot) => slot < size)
    const isFree = new Set(this.#free)
    for (let from = size; from < this.#keys.length; from++) {
      if (isFree.has(from)) continue
      const to = free.pop()!
      move(from, to)
      const [newer, older] = [this.#newer[from]!, this.#older[from]!]
      if (newer === none) this.#newest = to
      else this.#older[newer] = to
      if (older === none) this.#oldest = to
      else this.#newer[older] = to
      this.#newer[to] = newer
      this.#older[to] = older
      this.#keys[to] = this.#keys[from]!
      this.#hash[to] = this.#hash[from]!
    }
    this.#keys.length = size
    this.#free.length = 0
    this.#resize(Math.max(least, 2 ** Math.ceil(Math.log2(size))))
    this.#rehash(4 * this.#hash.length)
  }

  #lookup(key: string, hash: number): number {
    const mask = this.#table.length - 1
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const slot = this.#table[at]!
      if (slot === none) return none
      if (this.#hash[slot] === hash && this.#keys[slot] === key) return slot
    }
  }

  #place(slot: number, hash: number): void {
    const mask = this.#table.length - 1
    let at = hash & mask
    while (this.#table[at] !== none) at = (at + 1) & mask
    this.#table[at] = slot
  }

  /** Removes by shifting later members of the probe run back (Knuth, TAOCP 3, 6.4 R): no tombstones. */
  #unplace(slot: number): void {
    const table = this.#table
    const mask = table.length - 1
    let hole = this.#hash[slot]! & mask
    while (table[hole] !== slot) hole = (hole + 1) & mask
    for (let at = (hole + 1) & mask; table[at] !== none; at = (at + 1) & mask) {
      const home = this.#hash[table[at]!]! & mask
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        table[hole] = table[at]!
        hole = at
      }
    }
    table[hole] = none
  }

  #linkNewest(slot: number): void {
    this.#older[slot] = this.#newest
    this.#newer[slot] = none
    if (this.#newest !== none) this.#newer[this.#newest] = slot
    else this.#oldest = slot
    this.#newest = slot
  }

  #unlink(slot: number): void {
    const older = this.#older[slot]!
    const newer = this.#newer[slot]!
    if (older === none) this.#oldest = newer
    else this.#newer[older] = newer
    if (newer === none) this.#newest = older
    else this.#older[newer] = older
  }

  #resize(length: number): void {
    this.#hash = resized(this.#hash, length)
    this.#newer = resized(this.#newer, length)
    this.#older = resized(this.#older, length)
  }

  #rehash(length: number): void {
    this.#table = new Int32Array(length).fill(none)
    for (let slot = this.#newest; slot !== none; slot = this.#older[slot]!) this.#place(slot, this.#hash[slot]!)
    // `insert` places the new slot itself: it is not linked yet
  }
}

function resized(old: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const next = new Int32Array(length)
  next.set(length < old.length ? old.subarray(0, length) : old)
  return next
}
