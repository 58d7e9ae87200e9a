import { randomBytes } from 'node:crypto'
import { AppError } from '../../lib/errors.ts'
import { onSignals } from '../../lib/lifecycle.ts'
import { sleep } from '../../lib/time.ts'
import { delimiterArgument } from '../files/csv-header.ts'
import { checkFieldPath } from '../files/field-path.ts'
import { type Format, inputFiles, sizeOfAll } from '../files/input-files.ts'
import { readEvents } from '../files/read-events.ts'
import { countReason } from '../files/rejects.ts'
import type { BrokerArguments } from '../settings/kafka-settings.ts'
import { progressLine, summaryLines } from '../terminal/status-line.ts'
import { createLiveLine, lookOf } from '../terminal/terminal.ts'
import type { Destination } from './destination.ts'
import { fileEvents } from './file-events.ts'
import { outputDestination } from './output-destination.ts'
import { type PaymentTraffic, paymentTraffic } from './payment-traffic.ts'
import { restDestination } from './rest-destination.ts'
import { topicDestination } from './topic-destination.ts'

export interface ReplayArguments extends Omit<BrokerArguments, 'brokers'> {
  readonly input?: readonly string[] | undefined
  readonly format?: Format | undefined
  readonly delimiter?: string | undefined
  readonly simulate: boolean
  readonly seed: number
  /** How many simulated events, or for how long. */
  readonly events?: number | undefined
  readonly seconds?: number | undefined
  /** URL of the API, or - for standard output. */
  readonly to?: string | undefined
  /** host:port,... of Kafka. */
  readonly brokers?: string | undefined
  readonly topic?: string | undefined
  /** Topic of the verdicts. */
  readonly results: string
  /** Path of the field of the events that is the key of their records. */
  readonly key: string
  readonly rate?: number | undefined
}

const batchEvents = 500
const batchBytes = 4 * 1024 * 1024
/** With a rate, events leave in portions of this length. */
const portionMs = 50

/** @throws AppError */
export async function replayCommand(args: ReplayArguments): Promise<void> {
  checkSource(args)
  const { rate } = args
  const delimiter = delimiterArgument(args.delimiter)
  const files = args.input === undefined ? undefined : inputFiles(args.input, args.format)
  const live = createLiveLine()
  const destination = await destinationOf(args, (note) => {
    live.clear()
    process.stderr.write(`anomaly: ${note}\n`)
  })
  const stop = new AbortController()
  const letGo = onSignals(() => stop.abort())
  const total = files === undefined ? undefined : sizeOfAll(files)
  const run = randomBytes(6).toString('hex')
  const began = performance.now()
  const counts = { events: 0, alerts: 0, rejected: 0 }
  const rejectedBy = new Map<string, number>()
  let read = 0
  let sent = 0
  let waiting: string[] = []
  let bytes = 0
  let outcome: string | undefined

  async function flush(): Promise<void> {
    if (waiting.length === 0) return
    const events = waiting
    waiting = []
    bytes = 0
    if (rate !== undefined) {
      const due = began + (sent / rate) * 1000
      const ahead = due - performance.now()
      if (ahead > 0) await sleep(ahead, { signal: stop.signal })
    }
    const { alerts, refused } = await destination.send(events, stop.signal)
    sent += events.length
    counts.events += events.length - refused.length
    counts.alerts += alerts
    counts.rejected += refused.length
    for (const reason of refused) countReason(rejectedBy, reason)
    const seconds = (performance.now() - began) / 1000
    live.show(
      progressLine(
        { ...counts, seconds, ...(total === undefined ? undefined : { input: { over: read, total } }) },
        live.look,
      ),
    )
  }

  const portion =
    rate === undefined ? batchEvents : Math.max(1, Math.min(batchEvents, Math.round((rate * portionMs) / 1000)))
  const onBytes = (count: number) => {
    read += count
  }
  const source =
    files === undefined
      ? simulatedEvents({ ...args, run, portion, now: Date.now })
      : fileEvents(readEvents(files, { signal: stop.signal, onBytes, delimiter }))
  try {
    for await (const events of source) {
      for (const event of events) {
        if (stop.signal.aborted) break
        if (typeof event !== 'string') {
          counts.rejected++
          countReason(rejectedBy, event.reason)
          continue
        }
        waiting.push(event)
        bytes += Buffer.byteLength(event)
        if (waiting.length >= portion || bytes >= batchBytes) await flush()
      }
      if (stop.signal.aborted) break
    }
    await flush()
    live.clear()
    outcome = await destination.finish?.(stop.signal)
  } finally {
    await destination.close()
    live.clear()
    letGo()
  }
  const lines = summaryLines(
    { ...counts, seconds: (performance.now() - began) / 1000, rejectedBy },
    lookOf(process.stderr),
  )
  // For scripts, which know by it what must come out at the other end.
  if (files === undefined) lines.push(`sent ${sent} events, their ids begin with payment-${run}-`)
  if (outcome !== undefined) lines.push(outcome)
  process.stderr.write(`${lines.join('\n')}\n`)
}

/** @throws AppError InvalidArgument unless the arguments name exactly one destination */
async function destinationOf(args: ReplayArguments, say: (note: string) => void): Promise<Destination> {
  const { to, brokers, topic, key, results } = args
  if ((to === undefined) === (brokers === undefined))
    throw new AppError('InvalidArgument', 'replay goes either --to URL|- or to --brokers HOST:PORT with --topic')
  if ((brokers === undefined) !== (topic === undefined))
    throw new AppError(
      'InvalidArgument',
      brokers === undefined ? '--topic goes with --brokers' : '--brokers: --topic is missing',
    )
  checkFieldPath('--key', key)
  if (brokers !== undefined)
    return topicDestination({ ...args, brokers: brokersOf(brokers) }, { topic: topic!, key, results })
  return to === '-' ? outputDestination() : restDestination(to!, say)
}

function brokersOf(list: string): readonly string[] {
  const brokers = list.split(',').map((broker) => broker.trim())
  const wrong = brokers.find((broker) => !/^(\[[0-9a-f:]+\]|[\w.-]+):\d{1,5}$/i.test(broker))
  if (wrong !== undefined)
    throw new AppError('InvalidArgument', `--brokers: ${JSON.stringify(wrong)} must be HOST:PORT`)
  return brokers
}

/** @throws AppError InvalidArgument unless the arguments say what to send, in one way */
function checkSource({ input, simulate, events, seconds, rate }: ReplayArguments): void {
  const refuse = (reason: string) => {
    throw new AppError('InvalidArgument', reason)
  }
  if (simulate === (input !== undefined)) refuse('replay takes its events either from --input FILE or from --simulate')
  if (rate !== undefined && !(rate > 0)) refuse(`--rate: ${rate} must be above 0`)
  if (events !== undefined && seconds !== undefined) refuse('--events and --seconds exclude one another')
  if (!simulate && events !== undefined) refuse('--events goes with --simulate')
  if (!simulate && seconds !== undefined) refuse('--seconds goes with --simulate')
  if (events !== undefined && !(Number.isSafeInteger(events) && events > 0))
    refuse(`--events: ${events} must be a whole number above 0`)
  if (seconds !== undefined && !(seconds > 0)) refuse(`--seconds: ${seconds} must be above 0`)
}

function* simulatedEvents(traffic: PaymentTraffic): Generator<readonly string[]> {
  for (const payments of paymentTraffic(traffic)) yield payments.map((payment) => JSON.stringify(payment))
}
