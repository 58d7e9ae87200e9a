import type { StateBytes } from './state-bytes.ts'

/** What a partition remembered before the batches in hand: bytes in one buffer that is kept, no allocation a key. */
export class Undo {
  readonly #state: StateBytes
  /** Where the memory of each key from before lies; -1 for a key that had none. */
  readonly #keys = new Map<string, number>()
  #shared: Uint8Array | undefined
  #view = new DataView(new ArrayBuffer(0))
  #end = 0

  constructor(state: StateBytes) {
    this.#state = state
  }

  /** Keys that changed since `clear`. */
  get keys(): ReadonlyMap<string, number> {
    return this.#keys
  }

  /** A batch began since `clear`. */
  get hasBegun(): boolean {
    return this.#shared !== undefined
  }

  /** A batch begins. */
  begin(): void {
    this.#shared ??= this.#state.writeShared()
  }

  /** The key in the slot is about to change; its slot is -1 if it has no memory yet. */
  stage(key: string, slot: number): void {
    if (!this.#keys.has(key)) this.#keys.set(key, slot < 0 ? -1 : this.#write(slot))
  }

  /** Nothing can be undone any more. */
  clear(): void {
    this.#keys.clear()
    this.#shared = undefined
    this.#end = 0
  }

  /** Takes everything back. `slotOf` answers with -1 for a key without memory; `forget` is told of keys that had none before. */
  restore(slotOf: (key: string) => number, forget: (key: string) => void): void {
    if (this.#shared === undefined) return
    for (const [key, at] of this.#keys) {
      const slot = slotOf(key)
      if (slot < 0) continue
      if (at < 0) forget(key)
      else this.#state.readSlot(slot, this.#view, at)
    }
    this.#state.readShared(this.#shared)
    this.clear()
  }

  #write(slot: number): number {
    const at = this.#end
    const end = at + this.#state.slotBytes
    if (end > this.#view.byteLength) {
      const wider = new Uint8Array(2 * end)
      wider.set(new Uint8Array(this.#view.buffer))
      this.#view = new DataView(wider.buffer)
    }
    this.#state.writeSlot(slot, this.#view, at)
    this.#end = end
    return at
  }
}
