import type { Detection } from '../detection/detection.ts'
import type { SharedMemory } from '../detection/detector.ts'

/**
 * How the memory of a key and of a partition is stored, little-endian: the id of the layout, then each part's length
 * and bytes. The id is a hash of `anomaly state 3` and the detectors' layouts and names; memories of other detectors, or
 * of other layouts of the same ones, are left aside. What the first version wrote is read as well: its id was a hash of
 * class names, and the first part of either memory had no length. The open episodes are the last part of a partition's
 * memory; without it none is open.
 */
const version = 'anomaly state 3'
/** By layout, the name of the class that the first version knew: for layouts that are still the same or can be read. */
const formerClassNames: Readonly<Record<string, string>> = { 'profile/2': 'Profile', 'discord/1': 'Discord' }
/** Of the number of events of a key and its last alert. */
const formerLastAlertBytes = 20
/** Layout, length of the histogram, threshold, events. */
const formerHeaderBytes = 24

export class StateBytes {
  readonly #detection: Detection
  readonly #episodes: SharedMemory
  readonly #id: number
  /** undefined where a detector's memory of that time cannot be read. */
  readonly #formerId: number | undefined

  constructor(detection: Detection, episodes: SharedMemory) {
    const { keyedDetectors } = detection
    this.#episodes = episodes
    this.#detection = detection
    if (keyedDetectors.every(({ layout }) => layout in formerClassNames))
      this.#formerId = hashOf(keyedDetectors.map(({ layout, name }) => `${formerClassNames[layout]} ${name}`).join())
    this.#id = hashOf([version, ...keyedDetectors.map(({ layout, name }) => `${layout} ${name}`)].join('\n'))
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
    const id = view.getUint32(offset, true)
    if (id === this.#formerId) {
      this.#readFormerSlot(slot, view, offset)
      return
    }
    if (id !== this.#id) throw new RangeError('the memory is of other detectors')
    let at = offset + 4
    for (const memory of this.#detection.memories) {
      if (at >= view.byteLength) return
      const length = view.getUint32(at, true)
      memory.load(slot, view, at + 4, length)
      at += 4 + length
    }
  }

  writeShared(): Uint8Array<ArrayBuffer> {
    const parts = [...this.#detection.shared, this.#episodes].map((shared) => shared.save())
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
    const id = view.getUint32(0, true)
    if (id !== this.#id && id !== this.#formerId) throw new RangeError('the memory is of other detectors')
    const isFormer = id === this.#formerId
    const parts: Uint8Array[] = []
    let at = 4
    if (isFormer) {
      at = formerHeaderBytes + view.getUint32(4, true)
      parts.push(bytes.subarray(8, at))
    }
    while (at < bytes.length) {
      const length = view.getUint32(at, true)
      if (at + 4 + length > bytes.length) throw new RangeError('the memory has no end')
      parts.push(bytes.subarray(at + 4, at + 4 + length))
      at += 4 + length
    }
    const { shared, keyedDetectors } = this.#detection
    const lacksEpisodes = parts.length === shared.length
    if (at > bytes.length || (!lacksEpisodes && parts.length !== shared.length + 1))
      throw new RangeError(`${parts.length} parts are no memory of a partition`)
    this.#episodes.load(lacksEpisodes ? new Uint8Array(0) : parts.pop()!)
    for (const [p, part] of parts.entries()) {
      const former = isFormer && p > 0 ? keyedDetectors[p - 1]!.former : undefined
      if (former === undefined) shared[p]!.load(part)
      else former.loadShared(part)
    }
  }

  #readFormerSlot(slot: number, view: DataView, offset: number): void {
    const [lastAlerts, ...keyed] = this.#detection.memories
    lastAlerts!.load(slot, view, offset + 4, formerLastAlertBytes)
    let at = offset + 4 + formerLastAlertBytes
    for (const [m, memory] of keyed.entries()) {
      const length = view.getUint32(at, true)
      const reader = this.#detection.keyedDetectors[m]!.former ?? memory
      reader.load(slot, view, at + 4, length)
      at += 4 + length
    }
  }
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
