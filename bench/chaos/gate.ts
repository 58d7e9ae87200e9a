/** Lets senders pass until it is held; who holds it has waited for those who are inside. */
export class Gate {
  readonly #inside = new Set<Promise<unknown>>()
  #open: Promise<void> = Promise.resolve()

  async pass<T>(work: () => Promise<T>): Promise<T> {
    for (let seen: Promise<void> | undefined; seen !== this.#open; ) {
      seen = this.#open
      await seen
    }
    const inside = work()
    this.#inside.add(inside)
    try {
      return await inside
    } finally {
      this.#inside.delete(inside)
    }
  }

  /** Runs the work while nobody is inside. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    const { promise, resolve: open } = Promise.withResolvers<void>()
    this.#open = promise
    try {
      await Promise.allSettled(this.#inside)
      return await work()
    } finally {
      open()
    }
  }
}
