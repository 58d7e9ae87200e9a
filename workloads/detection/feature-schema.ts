/** More features than this in one pipeline are rejected: state and rows grow with every one of them. */
export const maxFeatures = 1000

/**
 * The feature names of a pipeline, in the order in which they were first seen: an append-only list, so that a shorter
 * row is always a prefix of a longer one.
 */
export class FeatureSchema {
  readonly #names: string[] = []
  readonly #index = new Map<string, number>()

  constructor(names: readonly string[] = []) {
    for (const name of names) this.append(name)
  }

  get size(): number {
    return this.#names.length
  }

  get names(): readonly string[] {
    return this.#names
  }

  indexOf(name: string): number | undefined {
    return this.#index.get(name)
  }

  /** Whether so many further names still fit. */
  hasRoomFor(count: number): boolean {
    return this.#names.length + count <= maxFeatures
  }

  append(name: string): void {
    if (this.#index.has(name)) return
    if (!this.hasRoomFor(1)) throw new RangeError(`a pipeline has at most ${maxFeatures} features`)
    this.#index.set(name, this.#names.length)
    this.#names.push(name)
  }
}
