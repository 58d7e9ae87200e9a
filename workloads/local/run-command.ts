import { AppError } from '../../lib/errors.ts'
import { createLogger } from '../../lib/log.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { sleep } from '../../lib/time.ts'
import { checkOutputs } from '../files/check-outputs.ts'
import { LineWriter } from '../files/line-writer.ts'
import {
  type Format,
  type InputFile,
  type InputRecord,
  inputFiles,
  readEvents,
  sizeOfAll,
} from '../files/read-events.ts'
import { countReason } from '../files/rejects.ts'
import type { LocalPipeline } from '../judging/local-pipeline.ts'
import { portOf } from '../settings/port-of.ts'
import { createInjectedTruth } from '../simulation/injected-truth.ts'
import { type SimulatedPayment, sampleStream, simulatePayments } from '../simulation/simulate-payments.ts'
import { hasNumbers, nothingToJudge } from '../terminal/nothing-to-judge.ts'
import { alertLine, type LiveStatus, progressLine, statusLine, summaryLines } from '../terminal/status-line.ts'
import { createLiveLine, lookOf } from '../terminal/terminal.ts'
import { formatNumber } from '../terminal/wording.ts'
import { type Feed, run } from './run.ts'

export interface RunArguments {
  readonly file: string
  readonly input?: readonly string[] | undefined
  readonly format?: Format | undefined
  readonly output?: string | undefined
  readonly rejects?: string | undefined
  readonly port?: number | undefined
  readonly probesPort?: number | undefined
  readonly exitAtEnd: boolean
  readonly simulate: boolean
  readonly rate: number
  readonly seconds?: number | undefined
  readonly seed: number
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent'
}

/** Simulated payments that are learnt before the live ones begin: the past of a pipeline that has been running. */
const simulatedPast = 30_000
const portionMs = 20
/** Where no line can be overwritten in place, a simulation says this often how it goes. */
const plainStatusMs = 5000

/** @throws AppError */
export async function runCommand(args: RunArguments): Promise<void> {
  if (args.simulate && args.input !== undefined)
    throw new AppError('InvalidArgument', '--simulate and --input exclude one another')
  if (!(args.rate > 0)) throw new AppError('InvalidArgument', `--rate: ${args.rate} must be above 0`)
  if (args.seconds !== undefined && !args.simulate)
    throw new AppError('InvalidArgument', '--seconds goes with --simulate')
  if (args.seconds !== undefined && !(args.seconds > 0))
    throw new AppError('InvalidArgument', `--seconds: ${args.seconds} must be above 0`)
  const pipeline = await loadPipeline(args.file)
  const files = args.input === undefined ? undefined : inputFiles(args.input, args.format)
  if (args.exitAtEnd && files === undefined && !args.simulate)
    throw new AppError('InvalidArgument', '--exit-at-end needs an end: name an --input')
  const port = args.port === undefined ? (args.exitAtEnd ? undefined : 8080) : portOf(args.port, 'port')
  const probesPort =
    args.probesPort === undefined ? (args.exitAtEnd ? undefined : 9090) : portOf(args.probesPort, 'probes-port')
  const log = await createLogger({ level: args.logLevel })
  const stop = new AbortController()
  checkOutputs({ output: args.output, rejects: args.rejects }, files)
  const output = args.output === undefined ? undefined : new LineWriter(args.output)
  const rejects = args.rejects === undefined ? undefined : new LineWriter(args.rejects)
  // Where verdicts are not on standard output, a person sees the alerts there.
  const alertsLook = output === undefined ? lookOf(process.stdout) : undefined
  const live = createLiveLine()
  const truth = args.simulate ? createInjectedTruth() : undefined
  const simulated = new Map<string, SimulatedPayment>()
  const counts = { events: 0, alerts: 0, rejected: 0 }
  const rejectedBy = new Map<string, number>()
  let numbers = false
  let past = args.simulate ? simulatedPast : 0
  let began = performance.now()
  let read = 0
  let local: LocalPipeline | undefined

  const feed: Feed | undefined =
    files !== undefined
      ? (to, signal) => feedFiles(to, signal, files, (count) => (read += count))
      : args.simulate
        ? (to, signal) =>
            feedSimulation(to, signal, {
              ...args,
              onPayment: (payment) => simulated.set(payment.event.eventId, payment),
              onLive: () => {
                began = performance.now()
              },
              onEnd: () => stop.abort(),
            })
        : undefined

  const total = files && sizeOfAll(files)
  let recent = { events: 0, at: began, rate: 0 }
  const lineOfNow = () => {
    const now = performance.now()
    const seconds = (now - began) / 1000
    if (now - recent.at >= 1000)
      recent = { events: counts.events, at: now, rate: ((counts.events - recent.events) / (now - recent.at)) * 1000 }
    if (files !== undefined && total !== undefined && read < total)
      return progressLine({ ...counts, seconds, bytes: { read, total } }, live.look)
    if (past > 0)
      return `learning from ${formatNumber(simulatedPast - past)} of ${formatNumber(simulatedPast)} past payments`
    const status: LiveStatus = {
      eventsPerSecond: recent.rate,
      alerts: counts.alerts,
      keys: local?.partitions.keys ?? 0,
      modelVersion: local?.scorer.modelVersion ?? '',
      ...(truth === undefined ? undefined : { truth: truth.summary() }),
    }
    return statusLine(status, live.look)
  }
  const timer = live.isShown
    ? setInterval(() => live.show(lineOfNow()), 200)
    : args.simulate
      ? setInterval(() => process.stderr.write(`${lineOfNow()}\n`), plainStatusMs)
      : undefined

  try {
    await run({
      pipeline,
      log,
      feed,
      severalFiles: files !== undefined && files.length > 1,
      output,
      rejects,
      port,
      probesPort,
      seed: args.seed,
      exitAtEnd: args.exitAtEnd,
      stop,
      onStarted: (addresses, started) => {
        local = started
        if (addresses.api !== undefined)
          log.info({ api: `http://localhost:${addresses.api}/api/v1/detect`, probes: addresses.probes }, 'ready')
      },
      onVerdict: (record, verdict, event) => {
        numbers ||= hasNumbers(event)
        const payment = simulated.get(verdict.eventId)
        if (payment !== undefined) {
          simulated.delete(verdict.eventId)
          // What was found while it learnt is no measure of what it finds.
          if (past > 0) {
            past--
            return
          }
          truth?.judge(payment, verdict.isAnomaly)
        }
        counts.events++
        if (!verdict.isAnomaly) return
        counts.alerts++
        if (alertsLook === undefined) return
        live.clear()
        const injected = payment === undefined ? undefined : payment.injected
        process.stdout.write(
          `${alertLine({ verdict, injected: record.source === 'api' ? undefined : injected }, alertsLook)}\n`,
        )
      },
      onRejected: (_record, { reason }) => {
        counts.rejected++
        countReason(rejectedBy, reason)
      },
    })
  } finally {
    clearInterval(timer)
    live.clear()
  }
  const seconds = (performance.now() - began) / 1000
  const lines = summaryLines(
    { ...counts, seconds, rejectedBy, ...(truth === undefined ? undefined : { truth: truth.summary() }) },
    lookOf(process.stderr),
  )
  if (counts.events > 0 && !numbers) lines.unshift(nothingToJudge(pipeline.spec.event))
  process.stderr.write(`${lines.join('\n')}\n`)
}

async function feedFiles(
  local: LocalPipeline,
  signal: AbortSignal,
  files: readonly InputFile[],
  onBytes: (count: number) => void,
): Promise<void> {
  for await (const rows of readEvents(files, { onBytes, signal })) {
    for (const row of rows) {
      if (signal.aborted) return
      local.stream.append(row)
      const room = local.stream.room()
      if (room !== undefined) await room
    }
  }
}

interface SimulationFeed {
  readonly seed: number
  readonly rate: number
  readonly seconds?: number | undefined
  readonly onPayment: (payment: SimulatedPayment) => void
  readonly onLive: () => void
  readonly onEnd: () => void
}

/** The past at once, then `rate` payments a second. Simulated time runs as fast as the payments come. */
async function feedSimulation(local: LocalPipeline, signal: AbortSignal, options: SimulationFeed): Promise<void> {
  const { rate, seconds, onPayment, onLive, onEnd } = options
  const payments = simulatePayments({ ...sampleStream, seed: options.seed })
  let sent = 0
  const send = () => {
    const payment = payments.next().value
    onPayment(payment)
    const record: Omit<InputRecord, 'offset'> = {
      key: payment.event.userId,
      value: null,
      body: payment.event,
      timestamp: payment.event.timestamp,
      source: 'simulation',
      row: ++sent,
      line: 0,
    }
    local.stream.append(record)
  }
  for (let i = 0; i < simulatedPast && !signal.aborted; i++) {
    send()
    const room = local.stream.room()
    if (room !== undefined) await room
  }
  onLive()
  const began = performance.now()
  const end = seconds === undefined ? Number.POSITIVE_INFINITY : began + seconds * 1000
  let live = 0
  while (!signal.aborted && performance.now() < end) {
    const due = ((performance.now() - began) / 1000) * rate
    for (; live < due; live++) send()
    await sleep(portionMs, { signal })
  }
  if (!signal.aborted) onEnd()
}
