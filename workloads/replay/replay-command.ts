import { randomBytes } from 'node:crypto'
import { Agent, request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { AppError, messageOf } from '../../lib/errors.ts'
import { createLogger } from '../../lib/log.ts'
import { backoff, sleep } from '../../lib/time.ts'
import { delimiterArgument } from '../files/csv-header.ts'
import { checkFieldPath } from '../files/field-path.ts'
import { type Format, inputFiles, sizeOfAll } from '../files/input-files.ts'
import type { InputRecord } from '../files/input-record.ts'
import { LineWriter } from '../files/line-writer.ts'
import { readEvents } from '../files/read-events.ts'
import { countReason } from '../files/rejects.ts'
import { type BrokerArguments, brokerSettingsOf } from '../settings/kafka-settings.ts'
import { progressLine, summaryLines } from '../terminal/status-line.ts'
import { createLiveLine, lookOf } from '../terminal/terminal.ts'
import type { Rejection } from '../wire/decode.ts'
import { type FieldReader, fieldReader } from '../wire/event-fields.ts'
import { writtenNumber } from '../wire/json-body.ts'
import { type PaymentTraffic, paymentTraffic } from './payment-traffic.ts'

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
  /** Path of the field of the events that is the key of their records. */
  readonly key: string
  readonly rate?: number | undefined
}

interface Answers {
  readonly alerts: number
  /** The reason of each event that was refused. */
  readonly refused: readonly string[]
}

const noAnswers: Answers = { alerts: 0, refused: [] }

interface Destination {
  /** Sends events; answers with how many alerted, and why others were refused. */
  send(events: readonly string[], signal: AbortSignal): Promise<Answers>
  close(): Promise<void> | void
}

const batchEvents = 500
const batchBytes = 4 * 1024 * 1024
/** With a rate, events leave in portions of this length. */
const portionMs = 50
const attempts = 10
const answerWithinMs = 30_000

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
  const onSignal = () => stop.abort()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, onSignal)
  const total = files === undefined ? undefined : sizeOfAll(files)
  const run = randomBytes(6).toString('hex')
  const began = performance.now()
  const counts = { events: 0, alerts: 0, rejected: 0 }
  const rejectedBy = new Map<string, number>()
  let read = 0
  let sent = 0
  let waiting: string[] = []
  let bytes = 0

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
      : eventsOf(readEvents(files, { signal: stop.signal, onBytes, delimiter }))
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
  } finally {
    await destination.close()
    live.clear()
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, onSignal)
  }
  const lines = summaryLines(
    { ...counts, seconds: (performance.now() - began) / 1000, rejectedBy },
    lookOf(process.stderr),
  )
  // For scripts, which know by it what must come out at the other end.
  if (files === undefined) lines.push(`sent ${sent} events, their ids begin with payment-${run}-`)
  process.stderr.write(`${lines.join('\n')}\n`)
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

async function* eventsOf(
  batches: AsyncIterable<readonly InputRecord[]>,
): AsyncGenerator<readonly (string | Rejection)[]> {
  for await (const rows of batches) yield rows.map(jsonOf)
}

/** One line of JSON; of CSV an object whose numeric cells are numbers and whose empty ones are absent. */
function jsonOf({ value, body, rejection }: InputRecord): string | Rejection {
  if (rejection !== undefined) return rejection
  if (body === undefined) return value!
  const event: Record<string, unknown> = {}
  for (const [name, cell] of Object.entries(body as Record<string, string>))
    if (cell !== '') event[name] = isNumber(cell) ? Number(cell) : cell
  return JSON.stringify(event)
}

/** Not so the number of an account that begins with 0, or one that has more digits than a number can hold. */
function isNumber(cell: string): boolean {
  if (!/^[+-]?(?!0\d)(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(cell)) return false
  return /^[+-]?\d+$/.test(cell) ? Number.isSafeInteger(Number(cell)) : Number.isFinite(Number(cell))
}

/** @throws AppError InvalidArgument unless the arguments name exactly one destination */
async function destinationOf(args: ReplayArguments, say: (note: string) => void): Promise<Destination> {
  const { to, brokers, topic, key } = args
  if ((to === undefined) === (brokers === undefined))
    throw new AppError('InvalidArgument', 'replay goes either --to URL|- or to --brokers HOST:PORT with --topic')
  if ((brokers === undefined) !== (topic === undefined))
    throw new AppError(
      'InvalidArgument',
      brokers === undefined ? '--topic goes with --brokers' : '--brokers: --topic is missing',
    )
  checkFieldPath('--key', key)
  if (brokers !== undefined) return topicDestination({ ...args, brokers: brokersOf(brokers) }, topic!, key)
  return to === '-' ? outputDestination() : restDestination(to!, say)
}

function brokersOf(list: string): readonly string[] {
  const brokers = list.split(',').map((broker) => broker.trim())
  const wrong = brokers.find((broker) => !/^(\[[0-9a-f:]+\]|[\w.-]+):\d{1,5}$/i.test(broker))
  if (wrong !== undefined)
    throw new AppError('InvalidArgument', `--brokers: ${JSON.stringify(wrong)} must be HOST:PORT`)
  return brokers
}

/** Records with the event's key, so that a key's events stay in order. */
async function topicDestination(args: BrokerArguments, topic: string, keyPath: string): Promise<Destination> {
  const readKey = fieldReader(keyPath)
  const { openAdmin } = await import('../../lib/kafka/admin.ts')
  const { connectProducer } = await import('../../lib/kafka/producer.ts')
  const settings = brokerSettingsOf(args, 'anomaly-replay', await createLogger({ level: 'warn' }))
  const admin = openAdmin(settings)
  try {
    await admin.topicOffsets(topic)
  } catch (error) {
    if (error instanceof AppError && error.code === 'NotFound')
      throw new AppError('NotFound', `--topic: ${args.brokers.join(',')} has no topic ${topic}`, { cause: error })
    throw error
  } finally {
    admin.close()
  }
  const producer = await connectProducer(settings)
  return {
    async send(events) {
      await producer.send(events.map((value) => ({ topic, key: keyOf(value, readKey), value })))
      return noAnswers
    },
    close: () => producer.close(),
  }
}

/** What cannot be read has no key: the pipeline says why it refuses it. */
function keyOf(event: string, readKey: FieldReader): string | null {
  try {
    const read = (body: unknown) => readKey(body as Record<string, unknown>)
    const key = read(JSON.parse(event))
    if (typeof key === 'number') return Number.isSafeInteger(key) ? String(key) : writtenNumber(key, event, read)
    return typeof key === 'string' ? key : null
  } catch {
    return null
  }
}

function outputDestination(): Destination {
  const writer = new LineWriter('-')
  return {
    async send(events) {
      for (const event of events) writer.write(event)
      writer.flush()
      return noAnswers
    },
    close: () => writer.close(),
  }
}

function restDestination(to: string, say: (note: string) => void): Destination {
  if (!/^https?:\/\//.test(to) || !URL.canParse(to))
    throw new AppError('InvalidArgument', `--to: ${to} must be a URL such as http://localhost:8080, or -`)
  const url = new URL('/api/v1/detect/batch', to)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return {
    async send(events, signal) {
      for (let attempt = 1; ; attempt++) {
        try {
          return answersOf(await post(url, agent, `${events.join('\n')}\n`), url)
        } catch (error) {
          if (!(error instanceof AppError && error.retriable) || attempt === attempts || signal.aborted) throw error
          if (attempt === 1) say(`${error.message}; trying again`)
          await sleep(backoff(attempt, { baseMs: 200, maxMs: 5000 }), { signal })
        }
      }
    },
    close: () => agent.destroy(),
  }
}

function post(url: URL, agent: Agent, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-ndjson', 'Content-Length': Buffer.byteLength(body) },
    }
    const request = url.protocol === 'https:' ? httpsRequest(url, options) : httpRequest(url, { ...options, agent })
    request.on('error', (error) =>
      reject(new AppError('Unavailable', `${url.origin}: ${messageOf(error)}`, { cause: error })),
    )
    request.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('error', (error) =>
        reject(new AppError('Unavailable', `${url.origin}: ${messageOf(error)}`, { cause: error })),
      )
      response.on('end', () => {
        const status = response.statusCode ?? 0
        if (status === 200) resolve(text)
        else {
          const retriable = status >= 500 || status === 429
          reject(
            new AppError(
              retriable ? 'Unavailable' : 'InvalidArgument',
              `${url}: answered ${status}: ${detailOf(text)}`,
            ),
          )
        }
      })
    })
    request.setTimeout(answerWithinMs, () => request.destroy(new Error(`no answer within ${answerWithinMs / 1000} s`)))
    request.end(body)
  })
}

function detailOf(text: string): string {
  try {
    return String((JSON.parse(text) as { detail?: unknown }).detail ?? text)
  } catch {
    return text.slice(0, 200)
  }
}

/** @throws AppError InvalidArgument where the answer is none of the detect API */
function answersOf(answer: string, url: URL): Answers {
  let alerts = 0
  const refused: string[] = []
  try {
    for (const line of answer.split('\n')) {
      if (line === '') continue
      const outcome = JSON.parse(line) as { isAnomaly?: boolean; reason?: string }
      if (outcome.isAnomaly === undefined) refused.push(outcome.reason ?? 'unknown')
      else if (outcome.isAnomaly) alerts++
    }
  } catch (error) {
    throw new AppError('InvalidArgument', `${url}: answered what is no verdict: ${answer.slice(0, 60)}`, {
      cause: error,
    })
  }
  return { alerts, refused }
}
