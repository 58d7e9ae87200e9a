/** More features than this in one pipeline are left out: state and rows grow with every one of them. */
export const maxFeatures = 1000
/** Longer names are left out. */
export const maxFeatureName = 128
/** Names that one event may make known. */
const maxNewNames = 250
/** Events with unknown names that are judged without them after some were refused, before it is asked again. */
const pauseEvents = 1000

/**
 * The feature names of a pipeline, in the order in which they were first seen: an append-only list, so that a shorter
 * row is always a prefix of a longer one. A name that was forgotten leaves its place empty.
 */
export class FeatureSchema {
  readonly #names: string[] = []
  readonly #index = new Map<string, number>()
  #pause = 0
  /** By place: events carried the feature. */
  #used = new Uint8Array(0)
  #forgotten = 0

  constructor(names: readonly string[] = []) {
    for (const name of names) this.append(name)
  }

  get size(): number {
    return this.#names.length
  }

  get names(): readonly string[] {
    return this.#names
  }

  /** How many names were forgotten so far: where it has grown, a place that was known before may be empty. */
  get forgotten(): number {
    return this.#forgotten
  }

  indexOf(name: string): number | undefined {
    return this.#index.get(name)
  }

  /** Whether so many further names still fit. */
  hasRoomFor(count: number): boolean {
    return this.#index.size + count <= maxFeatures
  }

  /** Which of the unknown names of an event are to be made known. The event is judged without the others. */
  wanted(unknown: readonly string[]): readonly string[] {
    if (this.#pause > 0) {
      this.#pause--
      return []
    }
    const room = Math.min(maxNewNames, maxFeatures - this.#index.size)
    return unknown.filter((name) => name !== '' && name.length <= maxFeatureName).slice(0, Math.max(0, room))
  }

  /** What became of names that were wanted: all names as they are known now. Where some are missing, others wait. */
  adopt(names: readonly string[], wanted: readonly string[] = []): void {
    for (const [i, name] of names.entries()) {
      if (i >= this.#names.length || name !== '') this.append(name)
      else this.#forget(i)
    }
    if (wanted.some((name) => !this.#index.has(name))) this.#pause = pauseEvents
  }

  /** An event carries these features. */
  use(features: ArrayLike<number>): void {
    if (this.#used.length < features.length) this.#widenUsed()
    for (let i = 0; i < features.length; i++) if (!Number.isNaN(features[i]!)) this.#used[i] = 1
  }

  /** The names that events carried since the last call. */
  takeUsed(): readonly string[] {
    const used = this.#names.filter((name, i) => name !== '' && this.#used[i] === 1)
    this.#used.fill(0)
    return used
  }

  #widenUsed(): void {
    const used = new Uint8Array(2 * this.#names.length)
    used.set(this.#used)
    this.#used = used
  }

  append(name: string): void {
    if (this.#index.has(name)) return
    if (name !== '' && !this.hasRoomFor(1)) throw new RangeError(`a pipeline has at most ${maxFeatures} features`)
    if (name !== '') this.#index.set(name, this.#names.length)
    this.#names.push(name)
  }

  #forget(place: number): void {
    if (this.#names[place] === '') return
    this.#index.delete(this.#names[place]!)
    this.#names[place] = ''
    this.#forgotten++
  }
}
