import { sleep } from '../../lib/time.ts'
import type { InputFile } from '../files/input-files.ts'
import type { InputRecord } from '../files/input-record.ts'
import { type ReadEventsOptions, readEvents } from '../files/read-events.ts'
import { type SimulatedPayment, sampleStream, simulatePayments } from '../simulation/simulate-payments.ts'
import type { Feed } from './run.ts'

const portionMs = 20

/** The rows of files, as fast as they are judged. */
export function fileFeed(files: readonly InputFile[], options: ReadEventsOptions): Feed {
  return async (local, signal) => {
    for await (const rows of readEvents(files, { ...options, signal })) {
      for (const row of rows) {
        if (signal.aborted) return
        local.stream.append(row)
        const room = local.stream.room()
        if (room !== undefined) await room
      }
    }
  }
}

export interface SimulationOptions {
  readonly seed: number
  /** How much simulated time is past when the live payments begin. */
  readonly historyMs: number
  /** Live payments a second; simulated time runs as fast as they come. */
  readonly rate: number
  /** End of the live payments. */
  readonly seconds?: number | undefined
  /** Before a live payment is judged. */
  readonly onPayment: (payment: SimulatedPayment) => void
  readonly onEnd: () => void
}

export interface SimulatedFeeds {
  readonly history: Feed
  readonly live: Feed
  /** How much of the history has been fed, in simulated milliseconds. */
  fedMs(): number
}

/** One simulated stream of payments: its past as fast as it is judged, then its present. */
export function simulatedFeeds(options: SimulationOptions): SimulatedFeeds {
  const { rate, seconds, historyMs, onPayment, onEnd } = options
  const payments = simulatePayments({ ...sampleStream, seed: options.seed })
  const next = (): SimulatedPayment => payments.next().value
  let payment = next()
  let sent = 0
  const fedMs = (): number => Math.min(historyMs, payment.event.timestamp - sampleStream.startTime)
  const recordOf = ({ event }: SimulatedPayment): Omit<InputRecord, 'offset'> => ({
    key: event.userId,
    value: null,
    body: event,
    timestamp: event.timestamp,
    source: 'simulation',
    row: ++sent,
    line: 0,
  })
  return {
    fedMs,
    async history(local, signal) {
      for (; fedMs() < historyMs && !signal.aborted; payment = next()) {
        local.stream.append(recordOf(payment))
        const room = local.stream.room()
        if (room !== undefined) await room
      }
    },
    async live(local, signal) {
      const began = performance.now()
      const end = seconds === undefined ? Number.POSITIVE_INFINITY : began + seconds * 1000
      let live = 0
      while (!signal.aborted && performance.now() < end) {
        const due = ((performance.now() - began) / 1000) * rate
        for (; live < due; live++, payment = next()) {
          onPayment(payment)
          local.stream.append(recordOf(payment))
        }
        await sleep(portionMs, { signal })
      }
      if (!signal.aborted) onEnd()
    },
  }
}
