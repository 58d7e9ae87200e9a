import { once } from 'node:events'
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { credentials, status } from '@grpc/grpc-js'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { ScoreRowsRequest, ScoreRowsResponse, ScoringServiceService } from '../../workloads/gen/anomaly/v1/scoring.ts'
import {
  AnomalyDetectionServiceClient,
  AnomalyDetectionServiceService,
  AnomalyRequest,
  AnomalyResponse,
  HealthCheckRequest,
} from '../../workloads/gen/anomaly_detection.ts'
import { HealthService } from '../../workloads/gen/grpc/health/v1/health.ts'
import { DetectService } from '../../workloads/inference/detect-service.ts'
import { createInferenceMetrics } from '../../workloads/inference/inference-metrics.ts'
import { Replica } from '../../workloads/inference/replica.ts'
import { ScoringService } from '../../workloads/inference/scoring-service.ts'
import { createInferenceServer, type InferenceServer } from '../../workloads/inference/server.ts'
import { schemaIdOf } from '../../workloads/scoring/packed-rows.ts'
import type { Chance, Fuzz } from './fuzz.ts'

const features = ['a', 'b', 'amount']
const [maxRows, maxMessageBytes] = [2000, 64 * 1024]
const answerWithinMs = 20_000
/** Connections with calls that are begun and left, at once. */
const maxHalfOpen = 30
/** Node.js closes a connection that had too many frames of calls that were refused. */
const callsOfSession = 200

const scoreRows = ScoringServiceService.scoreRows.path
const detect = AnomalyDetectionServiceService.detectAnomaly.path
const detectBatch = AnomalyDetectionServiceService.detectAnomalyBatch.path
const paths = [
  ...[scoreRows, detect, detectBatch],
  AnomalyDetectionServiceService.healthCheck.path,
  HealthService.check.path,
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
]

interface World {
  readonly server: InferenceServer
  readonly honest: AnomalyDetectionServiceClient
  session: ClientHttp2Session
  calls: number
  /** Connections with a call that is begun and left. */
  readonly halfOpen: ClientHttp2Session[]
  /** Calls that failed by a fault of the server's. */
  readonly failures: string[]
}

async function createWorld(): Promise<World> {
  const failures: string[] = []
  const pipeline = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'fuzz' },
    spec: { source: { brokers: ['localhost:9092'] }, detection: { learnFromCalls: 'Enabled' } },
  })
  const clock = () => performance.now()
  const replica = new Replica({ modelNames: ['forest'], seed: 1, clock, threshold: () => 7 })
  replica.known.use(features)
  const server = createInferenceServer({
    port: 0,
    host: '127.0.0.1',
    scoring: new ScoringService(replica),
    detect: new DetectService({ pipeline, replica, clock }),
    ready: () => undefined,
    stopping: new AbortController().signal,
    metrics: {
      ...createInferenceMetrics(new Registry()),
      answered: (method, code = 'UNKNOWN') =>
        void (/INTERNAL|UNKNOWN/.test(code) && failures.push(`${method} ${code}`)),
    },
    maxRows,
    maxMessageBytes,
    graceMs: 0,
  })
  await server.start!(new AbortController().signal)
  const honest = new AnomalyDetectionServiceClient(`127.0.0.1:${server.port}`, credentials.createInsecure())
  return { server, honest, session: newSession(server.port), calls: 0, halfOpen: [], failures }
}

function newSession(port: number): ClientHttp2Session {
  return connect(`http://127.0.0.1:${port}`).on('error', () => {})
}

let made: Promise<World> | undefined

/** What is sent in one call. */
interface Call {
  readonly headers: Readonly<Record<string, string>>
  readonly chunks: readonly Buffer[]
  readonly end: 'Finish' | 'Reset' | 'HalfOpen'
  /** Of what is as the protocol wants it: the one status that is right, and what is in the answers. */
  readonly expected:
    | { readonly status: status; readonly events: readonly string[]; readonly numbers?: number }
    | undefined
}

interface Answer {
  readonly http: string | undefined
  readonly status: number | undefined
  readonly details: string
  readonly rstCode: number
  readonly body: Buffer
}

function number(chance: Chance): number {
  return chance.pick(0, -0, 1, 125.5, Number.NaN, Infinity, -Infinity, 1e308, 5e-324, chance.next())
}

function eventOf(chance: Chance): AnomalyRequest {
  const names = ['value', ...features, 'unknown', '__proto__', 'constructor', 'toString', '', 'x'.repeat(300)]
  const given = Object.create(null) as Record<string, number>
  for (const name of names) if (chance.happens(0.4)) given[name] = number(chance)
  const eventId = chance.text(chance.int(20), 'abc-0é€')
  return {
    eventId,
    timestamp: chance.int(2 ** 31),
    userId: chance.text(chance.int(9), 'uv'),
    features: given,
    modelVersion: '',
  }
}

function rowsOf(chance: Chance): { readonly request: ScoreRowsRequest; readonly status: status } {
  const columns = [...features, 'value', 'strange'].filter(() => chance.happens(0.6))
  const isLong = chance.happens(0.05)
  const count = isLong ? maxRows + 1 : chance.int(20)
  const odd = chance.happens(0.1) ? 1 + chance.int(7) : 0
  const rows = Buffer.alloc(count * columns.length * 8 + odd)
  for (let at = 0; at + 8 <= rows.length; at += 8) rows.writeDoubleLE(number(chance), at)
  const isForeign = chance.happens(0.1)
  const schemaId = isForeign ? chance.text(12, 'xyz-12') : schemaIdOf(columns)
  const keyIds = Buffer.alloc(chance.pick(0, 4 * count, chance.int(90)), chance.int(256))
  const request = { schemaId, rows, columns, keyIds, explainFrom: number(chance), scoreOnly: chance.happens(0.5) }
  const fault =
    columns.length === 0 ? status.FAILED_PRECONDITION : isForeign || odd > 0 ? status.INVALID_ARGUMENT : status.OK
  const isTooMuch =
    ScoreRowsRequest.encode(request).finish().length > maxMessageBytes || (fault === status.OK && isLong)
  return { request, status: isTooMuch ? status.RESOURCE_EXHAUSTED : fault }
}

function framed(body: Uint8Array, compression = 0, length = body.length): Buffer {
  const head = Buffer.alloc(5)
  head[0] = compression
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, body])
}

/** Messages as their methods want them, and what is right to be answered. */
function cleanCall(chance: Chance): { path: string; messages: Uint8Array[]; expected: NonNullable<Call['expected']> } {
  const path = chance.pick(scoreRows, scoreRows, detect, detectBatch, detectBatch, ...paths.slice(3, 5))
  if (path === scoreRows) {
    const { request, status } = rowsOf(chance)
    const numbers = request.columns.length === 0 ? 0 : Math.floor(request.rows.length / 8 / request.columns.length)
    return { path, messages: [ScoreRowsRequest.encode(request).finish()], expected: { status, events: [], numbers } }
  }
  if (path === detect || path === detectBatch) {
    const events = Array.from({ length: path === detect ? 1 : chance.int(30) }, () => eventOf(chance))
    const messages = events.map((event) => AnomalyRequest.encode(event).finish())
    return { path, messages, expected: { status: status.OK, events: events.map(({ eventId }) => eventId) } }
  }
  const messages = [HealthCheckRequest.encode({ service: '' }).finish()]
  return { path, messages, expected: { status: status.OK, events: [] } }
}

function strangeHeaders(chance: Chance): Record<string, string> {
  const headers: Record<string, string> = {}
  const some: Readonly<Record<string, readonly string[]>> = {
    ':method': ['POST', 'POST', 'GET', 'PUT'],
    'content-type': ['application/grpc', 'application/grpc+proto', 'application/grpc+json', 'text/plain', ''],
    'grpc-timeout': ['5S', '0n', '1m', '99999999H', '-1S', 'soon', ''],
    'grpc-encoding': ['gzip', 'identity', 'deflate', 'br', 'none of these'],
    'grpc-accept-encoding': ['gzip', '', ','],
    'x-data-bin': ['AAAA', '%%%', '=', 'x'.repeat(2000)],
    traceparent: ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '00-zz', ''],
    'grpc-status': ['0', '99'],
  }
  for (const [name, values] of Object.entries(some)) if (chance.happens(0.2)) headers[name] = chance.pick(...values)
  return headers
}

function strangeFrame(chance: Chance, message: Uint8Array): Buffer {
  const kind = chance.int(6)
  if (kind === 0) return chance.damaged(framed(message))
  if (kind === 1) return framed(message, chance.int(3), chance.pick(0, 1, message.length + 1, 2 ** 31, 2 ** 32 - 1))
  if (kind === 2) return framed(chance.damaged(gzipSync(message)), 1)
  if (kind === 3) return framed(gzipSync(Buffer.alloc(chance.int(2 ** 22))), 1)
  if (kind === 4) return framed(Buffer.alloc(chance.int(2 * maxMessageBytes), chance.int(256)))
  return framed(chance.damaged(Buffer.from(message)))
}

function callOf(chance: Chance): Call {
  const { path, messages, expected } = cleanCall(chance)
  const isClean = chance.happens(0.5)
  const end = isClean || chance.happens(0.6) ? 'Finish' : chance.pick('Reset', 'HalfOpen')
  const frames = messages.map((message) =>
    isClean || chance.happens(0.5) ? framed(message) : strangeFrame(chance, message),
  )
  const headers = {
    ':method': 'POST',
    ':path': isClean || chance.happens(0.9) ? path : chance.pick(...paths, '/', '/a.B/C', `${path}/x`),
    'content-type': 'application/grpc',
    te: 'trailers',
    ...(isClean ? {} : strangeHeaders(chance)),
  }
  const bytes = Buffer.concat(frames)
  const cut = chance.int(bytes.length + 1)
  return {
    headers,
    chunks: [bytes.subarray(0, cut), bytes.subarray(cut)],
    end,
    expected: isClean ? expected : undefined,
  }
}

/** As a client of gRPC takes a reset. */
const statusOfReset: Readonly<Record<number, status>> = {
  [constants.NGHTTP2_INTERNAL_ERROR]: status.INTERNAL,
  [constants.NGHTTP2_CANCEL]: status.CANCELLED,
  [constants.NGHTTP2_ENHANCE_YOUR_CALM]: status.RESOURCE_EXHAUSTED,
}

/** Sends the call; undefined where no answer is waited for. */
async function send(world: World, call: Call): Promise<Answer | undefined> {
  if (++world.calls % callsOfSession === 0 || world.session.destroyed) {
    world.session.destroy()
    world.session = newSession(world.server.port)
  }
  if (call.end !== 'Finish') return leave(world, call)
  const stream = world.session.request({ ...call.headers }).on('error', () => {})
  const heard: Buffer[] = []
  let [head, trailers]: [IncomingHttpHeaders, IncomingHttpHeaders] = [{}, {}]
  stream.on('data', (chunk: Buffer) => heard.push(chunk))
  stream.on('response', (headers) => (head = headers))
  stream.on('trailers', (headers) => (trailers = headers))
  const closed = new Promise<void>((resolve) => stream.once('close', resolve))
  for (const chunk of call.chunks) if (chunk.length > 0) stream.write(chunk)
  stream.end()
  const late = delay(answerWithinMs, 'late', { ref: false })
  if ((await Promise.race([closed, late])) === 'late') throw new Error(`no answer within ${answerWithinMs} ms`)
  const given = trailers['grpc-status'] ?? head['grpc-status']
  return {
    http: head[':status'] as string | undefined,
    status: given === undefined ? statusOfReset[stream.rstCode ?? 0] : Number(given),
    details: decodeURIComponent(String(trailers['grpc-message'] ?? head['grpc-message'] ?? '')),
    rstCode: stream.rstCode ?? 0,
    body: Buffer.concat(heard),
  }
}

/**
 * On a connection of its own: what is not read of an answer holds up the others of the same, and a connection with many
 * resets is closed.
 */
function leave({ server, halfOpen }: World, { headers, chunks, end }: Call): undefined {
  const session = newSession(server.port)
  const stream = session.request({ ...headers }).on('error', () => {})
  for (const chunk of chunks) if (chunk.length > 0) stream.write(chunk)
  if (end === 'Reset') stream.close(constants.NGHTTP2_CANCEL)
  if (halfOpen.push(session) > maxHalfOpen) halfOpen.shift()!.destroy()
}

/** Bytes that are no HTTP/2, or are no more: their connection is closed, or waits for more, and no other. */
async function sendBytes({ server }: World, chance: Chance): Promise<void> {
  const settings = Buffer.from('000000040000000000', 'hex')
  const headers = Buffer.from('00000e010400000001838644056162632f78', 'hex')
  const whole = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings, headers])
  const socket = connectSocket(server.port, '127.0.0.1').on('error', () => {})
  socket.write(chance.damaged(whole))
  if (chance.happens(0.5)) socket.end()
  await Promise.race([once(socket, 'data'), once(socket, 'close'), delay(5, undefined, { ref: false })]).catch(() => {})
  socket.destroy()
}

function messagesOf(body: Buffer): Buffer[] {
  const messages: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1)
    messages.push(body.subarray(at + 5, end))
    at = end
  }
  return messages
}

const allowed = new Set([
  ...[status.OK, status.CANCELLED, status.INVALID_ARGUMENT, status.DEADLINE_EXCEEDED, status.RESOURCE_EXHAUSTED],
  ...[status.NOT_FOUND, status.FAILED_PRECONDITION, status.UNIMPLEMENTED],
  // Of bytes that grpc-js cannot read: it calls none of ours then.
  status.INTERNAL,
])

function check({ headers, expected }: Call, answer: Answer): void {
  if (expected === undefined) {
    if (answer.status !== undefined) expect(allowed).to.include(answer.status)
    return
  }
  expect(answer.status, answer.details).to.equal(expected.status)
  if (expected.status !== status.OK) return
  const messages = messagesOf(answer.body)
  if (headers[':path'] === detect || headers[':path'] === detectBatch) {
    const answers = messages.map((message) => AnomalyResponse.decode(message))
    expect(answers.map(({ eventId }) => eventId)).to.deep.equal(expected.events)
    for (const { anomalyScore, confidence } of answers)
      expect(
        [anomalyScore, confidence].every((x) => x >= 0 && x <= 1),
        `${anomalyScore} ${confidence}`,
      ).to.equal(true)
  } else if (headers[':path'] === scoreRows)
    expect(ScoreRowsResponse.decode(messages[0]!).surprisals.length).to.equal(8 * expected.numbers!)
}

function honestAnswer({ honest }: World, eventId: string): Promise<AnomalyResponse> {
  const request = { eventId, timestamp: 0, userId: 'u', features: { amount: 1 }, modelVersion: '' }
  return new Promise((resolve, reject) =>
    honest.detectAnomaly(
      request,
      { deadline: Date.now() + answerWithinMs } as never,
      (error: Error | null, response) => (error === null ? resolve(response) : reject(error)),
    ),
  )
}

/** Whatever is sent, a call has a status of its own fault, and others are answered meanwhile. */
export const fuzz: Fuzz = {
  name: 'grpc',
  async tryOne(chance) {
    made ??= createWorld()
    const world = await made
    const id = `honest ${chance.int(1e9)}`
    const honest = honestAnswer(world, id)
    if (chance.happens(0.05)) await sendBytes(world, chance)
    const call = callOf(chance)
    let answer: Answer | undefined
    try {
      answer = await send(world, call)
      if (answer !== undefined) check(call, answer)
      expect(world.failures).to.deep.equal([])
    } catch (error) {
      const sent = `${JSON.stringify(call.headers)} ${Buffer.concat(call.chunks).toString('base64').slice(0, 2000)}`
      const said = answer && `${answer.http} ${answer.status} ${answer.details} (reset ${answer.rstCode})`
      throw new Error(`${sent}\n  was answered ${said}: ${error}`, { cause: error })
    } finally {
      await honest
    }
    expect((await honest).eventId).to.equal(id)
  },
  async close() {
    const world = await made
    made = undefined
    if (world === undefined) return
    for (const session of [world.session, ...world.halfOpen]) session.destroy()
    world.honest.close()
    await world.server.stop!()
  },
}
