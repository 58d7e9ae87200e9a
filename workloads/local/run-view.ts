import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { EpisodeQuality } from '../detection/episode-quality.ts'
import type { Event } from '../detection/event.ts'
import type { Verdict } from '../detection/verdict.ts'
import { InputCheck } from '../files/input-check.ts'
import type { InputRecord } from '../files/input-record.ts'
import { createInjectedTruth } from '../simulation/injected-truth.ts'
import type { SimulatedPayment } from '../simulation/simulate-payments.ts'
import {
  alertHeader,
  alertLine,
  type Progress,
  progressLine,
  statusLine,
  summaryLines,
} from '../terminal/status-line.ts'
import { createLiveLine, lookOf } from '../terminal/terminal.ts'
import { counted } from '../terminal/wording.ts'
import type { Rejection } from '../wire/rejection.ts'

/** Where no line can be overwritten in place, a simulation says this often how it goes. */
const plainStatusMs = 5000

export interface RunViewOptions {
  readonly pipeline: Pipeline
  /** Alerts are printed on standard output: no verdicts go there. */
  readonly showsAlerts: boolean
  readonly simulated: boolean
  /** What is learnt first, such as `the past 7 days`; undefined for nothing. */
  readonly history: string | undefined
  /** How much of the history or, after that, of the input is over; undefined where nobody knows. */
  readonly inputOf: () => Progress['input']
  readonly stateOf: () => { readonly keys: number; readonly modelVersion: string }
}

/** What a person sees of a run: how it goes, its alerts, and what came of it. */
export interface RunView {
  /** A simulated payment, to compare its verdict with the truth. */
  expect(payment: SimulatedPayment): void
  learnt(events: number): void
  live(): void
  verdict(record: InputRecord, verdict: Verdict, event: Event): void
  rejected(record: InputRecord, rejection: Rejection): void
  /** Ends the line that is overwritten in place. */
  close(): void
  /** Prints what came of it all. @throws AppError NothingJudged */
  summary(): void
}

export function createRunView(options: RunViewOptions): RunView {
  const { simulated, history, inputOf, stateOf } = options
  const look = lookOf(process.stdout)
  const line = createLiveLine()
  const { detection } = options.pipeline.spec
  const truth = simulated ? createInjectedTruth(detection) : undefined
  /** Of a run without a truth. */
  const quality = new EpisodeQuality(detection)
  const expected = new Map<string, SimulatedPayment>()
  const counts = { events: 0, alerts: 0, rejected: 0 }
  const check = new InputCheck(options.pipeline, (warning) => {
    line.clear()
    process.stderr.write(`anomaly: ${warning}\n`)
  })
  let learnt = history === undefined ? undefined : 0
  let began = performance.now()
  let recent = { events: 0, at: began, rate: 0 }

  const secondsSince = (at: number): number => (performance.now() - at) / 1000

  function lineOfNow(): string {
    const seconds = secondsSince(began)
    const input = inputOf()
    if (learnt !== undefined)
      return `learning ${progressLine({ events: learnt, rejected: counts.rejected, seconds, input }, { ...line.look, columns: line.look.columns - 9 })}`
    if (input !== undefined && input.over < input.total) return progressLine({ ...counts, seconds, input }, line.look)
    const elapsed = secondsSince(recent.at)
    if (elapsed >= 1)
      recent = { events: counts.events, at: performance.now(), rate: (counts.events - recent.events) / elapsed }
    const status = { eventsPerSecond: recent.rate, alerts: counts.alerts, ...stateOf(), truth: truth?.summary() }
    return statusLine(status, line.look)
  }

  const timer = line.isShown
    ? setInterval(() => line.show(lineOfNow()), 200)
    : simulated
      ? setInterval(() => process.stderr.write(`${lineOfNow()}\n`), plainStatusMs)
      : undefined

  return {
    expect: (payment) => void expected.set(payment.event.eventId, payment),
    learnt(events) {
      learnt = events
    },
    live() {
      line.clear()
      process.stderr.write(
        `learnt ${history} in ${secondsSince(began).toFixed(1)} s: ${counted(learnt ?? 0, 'event')}; live from here\n`,
      )
      learnt = undefined
      began = performance.now()
      recent = { events: 0, at: began, rate: 0 }
    },
    verdict(record, verdict, event) {
      if (!simulated) check.judged(record, event)
      const payment = record.source === 'api' ? undefined : expected.get(verdict.eventId)
      if (payment !== undefined) {
        expected.delete(verdict.eventId)
        truth?.judge(payment, verdict)
      }
      if (truth === undefined) quality.add(verdict, undefined)
      counts.events++
      if (!verdict.isAnomaly) return
      counts.alerts++
      if (!options.showsAlerts) return
      line.clear()
      if (counts.alerts === 1 && process.stdout.isTTY)
        process.stdout.write(`${alertHeader({ truth: simulated }, look)}\n`)
      process.stdout.write(`${alertLine({ verdict, injected: payment?.injected }, look)}\n`)
    },
    rejected(record, rejection) {
      counts.rejected++
      check.rejected(record, rejection)
    },
    close() {
      clearInterval(timer)
      line.clear()
    },
    summary() {
      const seconds = secondsSince(began)
      const { rejectedBy } = check
      const found = truth?.summary()
      const episodes = found?.episodes ?? quality.figures
      const lines = summaryLines({ ...counts, seconds, rejectedBy, episodes, truth: found }, lookOf(process.stderr))
      process.stderr.write(`${lines.join('\n')}\n`)
      if (!simulated) check.finish()
    },
  }
}
