import { type PaymentEvent, sampleStream, simulatePayments } from '../simulation/simulate-payments.ts'

export interface PaymentTraffic {
  readonly seed: number
  /** What the ids of this run have in common, and those of no other. */
  readonly run: string
  /** Payments a second; as fast as they are taken if absent. */
  readonly rate?: number | undefined
  /** It ends after so many payments. */
  readonly events?: number | undefined
  /** It ends after so many seconds. */
  readonly seconds?: number | undefined
  /** Most payments that are made at once. */
  readonly portion: number
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/**
 * The simulated payments as if they were made now: `payment-<run>-1`, `payment-<run>-2`, … with the present time, in
 * portions that each leave when their first payment is due. The same seed gives the same payments but for these two fields.
 */
export function* paymentTraffic(options: PaymentTraffic): Generator<readonly PaymentEvent[], void, void> {
  const { seed, run, rate, events = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY } = options
  const payments = simulatePayments({ ...sampleStream, seed })
  const began = options.now()
  let made = 0
  /** Of the next payment. */
  const time = () => (rate === undefined ? options.now() : began + (made / rate) * 1000)
  while (made < events && Math.max(time(), options.now()) < began + seconds * 1000) {
    const portion: PaymentEvent[] = []
    for (const size = Math.min(options.portion, events - made); portion.length < size; ) {
      const timestamp = Math.round(time())
      portion.push({ ...payments.next().value.event, eventId: `payment-${run}-${++made}`, timestamp })
    }
    yield portion
  }
}
