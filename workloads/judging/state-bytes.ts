import type { Detection } from '../detection/detection.ts'

/**
 * How the memory of a key and of a partition is stored, little-endian: the id of the layout, then each part's length
 * and bytes. The id is a hash of `anomaly state 3` and the detectors' layouts and names; memories of other detectors, or
 * of other layouts of the same ones, are left aside.
 */
const version = 'anomaly state 3'

export class StateBytes {
  readonly #detection: Detection
  readonly #id: number

  constructor(detection: Detection) {
    this.#detection = detection
    this.#id = hashOf([version, ...detection.keyedDetectors.map(({ layout, name }) => `${layout} ${name}`)].join('\n'))
  }

  /** What `writeSlot` writes. */
  get slotBytes(): number {
    let length = 4
    for (const memory of this.#detection.memories) length += 4 + memory.bytesPerKey
    return length
  }

  writeSlot(slot: number, view: DataView, offset: number): void {
    view.setUint32(offset, this.#id, true)
    let at = offset + 4
    for (const memory of this.#detection.memories) {
      view.setUint32(at, memory.bytesPerKey, true)
      memory.save(slot, view, at + 4)
      at += 4 + memory.bytesPerKey
    }
  }

  /**
   * Reads it into a slot that was reset. Parts that are missing at the end leave the slot without that history.
   * @throws RangeError where it is of other detectors or damaged
   */
  readSlot(slot: number, view: DataView, offset = 0): void {
    if (view.getUint32(offset, true) !== this.#id) throw new RangeError('the memory is of other detectors')
    let at = offset + 4
    for (const memory of this.#detection.memories) {
      if (at >= view.byteLength) return
      const length = view.getUint32(at, true)
      memory.load(slot, view, at + 4, length)
      at += 4 + length
    }
  }

  writeShared(): Uint8Array<ArrayBuffer> {
    const parts = this.#detection.shared.map((shared) => shared.save())
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 4))
    const view = new DataView(bytes.buffer)
    view.setUint32(0, this.#id, true)
    let at = 4
    for (const part of parts) {
      view.setUint32(at, part.length, true)
      bytes.set(part, at + 4)
      at += 4 + part.length
    }
    return bytes
  }

  /** @throws RangeError where it is of other detectors or damaged; some of it may have been read then */
  readShared(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (view.getUint32(0, true) !== this.#id) throw new RangeError('the memory is of other detectors')
    const parts: Uint8Array[] = []
    for (let at = 4; at < bytes.length; ) {
      const length = view.getUint32(at, true)
      if (at + 4 + length > bytes.length) throw new RangeError('the memory has no end')
      parts.push(bytes.subarray(at + 4, at + 4 + length))
      at += 4 + length
    }
    const { shared } = this.#detection
    if (parts.length !== shared.length) throw new RangeError(`${parts.length} parts are no memory of a partition`)
    for (const [p, part] of parts.entries()) shared[p]!.load(part)
  }
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
