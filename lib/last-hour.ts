const minute = 60_000
const minutes = 60

/** Counts of what happened in the last hour, to the minute: what was counted longer ago is forgotten. */
export class LastHour<Name extends string> {
  readonly #clock: () => number
  readonly #counts: Readonly<Record<Name, Float64Array>>
  /** Minute of the clock until which the counts are up to date. */
  #at: number

  /** @param clock monotonic, in ms */
  constructor(names: readonly Name[], clock: () => number) {
    this.#clock = clock
    this.#counts = Object.fromEntries(names.map((name) => [name, new Float64Array(minutes)])) as Record<
      Name,
      Float64Array
    >
    this.#at = Math.floor(clock() / minute)
  }

  add(name: Name, count: number): void {
    this.#forget()
    const counts = this.#counts[name]
    counts[this.#at % minutes] = counts[this.#at % minutes]! + count
  }

  get totals(): Readonly<Record<Name, number>> {
    this.#forget()
    const totals = Object.entries<Float64Array>(this.#counts).map(([name, counts]) => [
      name,
      counts.reduce((sum, count) => sum + count, 0),
    ])
    return Object.fromEntries(totals)
  }

  #forget(): void {
    const now = Math.floor(this.#clock() / minute)
    const passed = Math.min(minutes, now - this.#at)
    for (let m = 1; m <= passed; m++)
      for (const counts of Object.values<Float64Array>(this.#counts)) counts[(now - passed + m) % minutes] = 0
    if (passed > 0) this.#at = now
  }
}
