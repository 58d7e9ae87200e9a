import type { StreamRecord } from '../../lib/kafka/records.ts'
import type { Event } from '../detection/event.ts'
import type { Feedback } from '../detection/feedback.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { FeedbackSource } from '../judging/processor.ts'

export interface DelayedLabelsOptions {
  /** From an event to its label, in the time of the events. */
  readonly delayMs: number
  /** 1 anomaly, 0 normal. */
  readonly labelOf: (record: StreamRecord) => 0 | 1 | undefined
}

/**
 * The labels of past events as feedback that came some time after them: every anomaly is confirmed, and every alert that
 * was none is called a false alarm. Of ordinary events that were called so nobody says anything.
 */
export class DelayedLabels implements FeedbackSource {
  readonly #options: DelayedLabelsOptions
  /** Of events that are not judged yet, in order. */
  readonly #coming: { readonly time: number; readonly label: 0 | 1 | undefined }[] = []
  #known: Feedback[] = []
  #next = 0
  #now = Number.NEGATIVE_INFINITY
  /** Said so far. */
  confirmed = 0
  falseAlarms = 0

  constructor(options: DelayedLabelsOptions) {
    this.#options = options
  }

  comes({ time }: Event, record: StreamRecord): boolean {
    const { delayMs, labelOf } = this.#options
    if (time > this.#now) this.#now = time
    const next = this.#known[this.#next]
    const first = this.#coming[0]
    const isDue =
      (next !== undefined && next.time <= this.#now) || (first !== undefined && first.time + delayMs <= this.#now)
    this.#coming.push({ time, label: labelOf(record) })
    return isDue
  }

  take(): readonly Feedback[] {
    const from = this.#next
    while (this.#next < this.#known.length && this.#known[this.#next]!.time <= this.#now) this.#next++
    const taken = this.#known.slice(from, this.#next)
    if (this.#next > 10_000) {
      this.#known = this.#known.slice(this.#next)
      this.#next = 0
    }
    return taken
  }

  judged({ isAnomaly, anomalyScore, reasons }: Verdict, { id, key, secondaryKeys, time }: Event): void {
    const { label } = this.#coming.shift()!
    if (Number.isNaN(time) || !(label === 1 || (label === 0 && isAnomaly))) return
    if (label === 1) this.confirmed++
    else this.falseAlarms++
    this.#known.push({
      eventId: id,
      key,
      secondaryKeys,
      label: label === 1 ? 'Confirmed' : 'FalseAlarm',
      time: time + this.#options.delayMs,
      anomalyScore,
      reasons,
    })
  }
}
