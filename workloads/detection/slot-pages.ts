const slotsPerPage = 1024

/** Float32 memory of many keys in pages of 1,024 slots: growing copies nothing, and an unused page is never made. */
export class SlotPages {
  readonly width: number
  readonly #pages: (Float32Array<ArrayBuffer> | undefined)[] = []

  /** @param width numbers a slot */
  constructor(width: number) {
    this.width = width
  }

  /** The page that holds the slot, made if need be. The slot's numbers begin at `this.offset(slot)`. */
  page(slot: number): Float32Array<ArrayBuffer> {
    const index = slot >> 10
    let page = this.#pages[index]
    if (page === undefined) {
      page = new Float32Array(slotsPerPage * this.width)
      this.#pages[index] = page
    }
    return page
  }

  offset(slot: number): number {
    return (slot & (slotsPerPage - 1)) * this.width
  }

  clear(slot: number): void {
    const at = this.offset(slot)
    this.page(slot).fill(0, at, at + this.width)
  }

  /** Writes the slot's numbers, 4 bytes each. */
  save(slot: number, into: DataView, offset: number): void {
    const page = this.page(slot)
    const at = this.offset(slot)
    for (let i = 0; i < this.width; i++) into.setFloat32(offset + 4 * i, page[at + i]!, true)
  }

  /** Reads the first `count` numbers of the slot; the others are zero. */
  load(slot: number, from: DataView, offset: number, count = this.width): void {
    const page = this.page(slot)
    const at = this.offset(slot)
    for (let i = 0; i < count; i++) page[at + i] = from.getFloat32(offset + 4 * i, true)
    page.fill(0, at + count, at + this.width)
  }

  /** Gives up the memory of slots from `slots` on. */
  trim(slots: number): void {
    this.#pages.length = Math.min(this.#pages.length, Math.ceil(slots / slotsPerPage))
  }

  /** The same memory with `width` numbers a slot, the further ones zero. */
  widened(width: number): SlotPages {
    const wide = new SlotPages(width)
    this.#pages.forEach((page, index) => {
      if (page === undefined) return
      const to = new Float32Array(slotsPerPage * width)
      for (let slot = 0; slot < slotsPerPage; slot++)
        to.set(page.subarray(slot * this.width, (slot + 1) * this.width), slot * width)
      wide.#pages[index] = to
    })
    return wide
  }
}

/** A time in ms as two 32-bit floats without loss. */
export function storeTime(page: Float32Array, at: number, time: number): void {
  const high = Math.floor(time / 2 ** 20)
  page[at] = high
  page[at + 1] = time - high * 2 ** 20
}

export function loadTime(page: Float32Array, at: number): number {
  return page[at]! * 2 ** 20 + page[at + 1]!
}
