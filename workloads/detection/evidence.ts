/** Fields of an event that are not features; feature j of the schema is field `firstFeature + j`. */
export const valueField = 0
/** Seconds since the key's last event. */
export const intervalField = 1
/** Number of the schema's features that the event lacks. */
export const missingField = 2
export const firstFeature = 3
/** The field of category c: below those of numbers. */
export const categoryField = (c: number): number => -1 - c

/** What a detector says of the shape of the deviation. */
export const shapes = ['', 'spike', 'pattern', 'level', 'frozen', 'trend'] as const
export type Shape = (typeof shapes)[number]

const capacity = 3

/** The fields that made one event surprising, strongest first. Reused between events: no allocation on the hot path. */
export class Evidence {
  count = 0
  readonly field = new Int32Array(capacity)
  /** What the event showed. */
  readonly observed = new Float64Array(capacity)
  /** What the field was expected to be; NaN where the detector cannot say. */
  readonly expected = new Float64Array(capacity)
  /** Share of the surprisal, in nats. */
  readonly contribution = new Float64Array(capacity)
  shape: Shape = ''

  clear(): void {
    this.count = 0
    this.shape = ''
  }

  /** Keeps the field if it is among the strongest. */
  offer(field: number, observed: number, expected: number, contribution: number): void {
    let at = this.count
    if (at === capacity) {
      if (contribution <= this.contribution[capacity - 1]!) return
      at--
    } else this.count++
    while (at > 0 && this.contribution[at - 1]! < contribution) {
      this.field[at] = this.field[at - 1]!
      this.observed[at] = this.observed[at - 1]!
      this.expected[at] = this.expected[at - 1]!
      this.contribution[at] = this.contribution[at - 1]!
      at--
    }
    this.field[at] = field
    this.observed[at] = observed
    this.expected[at] = expected
    this.contribution[at] = contribution
  }
}
