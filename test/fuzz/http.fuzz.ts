import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, STATUS_CODES } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { createApp } from '../../workloads/rest/app.ts'
import { createLiveEvents } from '../../workloads/rest/live-events.ts'
import { createStubDoor } from '../../workloads/rest/stub-door.ts'
import type { Chance, Fuzz } from './fuzz.ts'

const { event } = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'fuzz' },
  spec: { source: { brokers: ['localhost:9092'] } },
}).spec

const paths = [
  '/api/v1/detect',
  '/api/v1/detect/batch',
  '/api/v1/results/e1',
  '/api/v1/stream?only=none',
  '/api/v1/health',
  '/openapi.json',
  '/actuator/health',
  '/actuator/prometheus',
]
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']
const types = ['application/json', 'application/x-ndjson', 'text/plain', 'application/json; charset="utf-16"', ';', '']
const agent = new Agent({ keepAlive: true })
let unexpected: unknown

/** The port of the app, which does not keep the process alive. */
async function listening(): Promise<number> {
  const error = (fields: object): void => {
    unexpected = fields
  }
  const log = { debug() {}, info() {}, warn() {}, error }
  const app = createApp(createStubDoor(event), { log, registry: new Registry(), event, live: createLiveEvents() })
  const server = createServer(app).listen(0, '127.0.0.1').unref()
  server.on('connection', (socket) => socket.unref())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
let served: Promise<number> | undefined

function pathOf(chance: Chance): string {
  const path = chance.pick(paths[0]!, paths[1]!, ...paths)
  if (chance.happens(0.7)) return path
  return `${path}${chance.pick('/', '?', '%', '%2f', '%ff', '//', '..')}${chance.text(chance.int(8), 'ab/%2e?&=;:@\\"<')}`
}

function eventOf(chance: Chance): string {
  const value = () =>
    chance.pick('1', '125.5', '-0', '1e999', '"x"', '"\\ud800"', '"e1"', 'null', '{}', '[]', '{"a":1}', 'true')
  const fields = ['eventId', 'timestamp', 'userId', 'value', 'features', '__proto__', 'note']
  return chance.happens(0.1)
    ? chance.pick(value(), '['.repeat(9000), `${'['.repeat(9000)}${']'.repeat(9000)}`)
    : `{${fields.flatMap((name) => (chance.happens(0.6) ? `"${name}":${value()}` : [])).join()}}`
}

function bodyOf(chance: Chance): string {
  const events = Array.from({ length: 1 + chance.int(4) }, () => eventOf(chance))
  return chance.pick(events[0]!, `[${events.join()}]`, events.join('\n'), `${events.join('\n\n')}\n`, '')
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly text: string
}

async function answerTo(port: number, method: string, path: string, headers: Record<string, string>, body: Buffer) {
  const outgoing = request({ port, host: '127.0.0.1', method, path, headers, agent, timeout: 5000 })
  outgoing.once('timeout', () => outgoing.destroy(new Error('no answer within 5 s')))
  const [response] = (await once(outgoing.end(body), 'response')) as [IncomingMessage]
  const parts: Buffer[] = []
  for await (const part of response) parts.push(part as Buffer)
  const type = String(response.headers['content-type'] ?? '')
  return { status: response.statusCode!, type, text: String(Buffer.concat(parts)) } satisfies Answer
}

function isProblem(problem: Record<string, unknown>): boolean {
  const { type, title, status, detail, reason } = problem
  const isOfStatus = typeof status === 'number' && status >= 400 && status !== 500 && title === STATUS_CODES[status]
  return isOfStatus && type === 'about:blank' && typeof detail === 'string' && typeof reason === 'string'
}

function check({ status, type, text }: Answer, method: string): void {
  if (status === 204) return
  if (status >= 400) expect(type).to.equal('application/problem+json')
  else expect(status).to.equal(200)
  if (method === 'HEAD') return
  if (status >= 400) {
    const problem = JSON.parse(text)
    expect(isProblem(problem) && problem.status === status && problem.instance.startsWith('/')).to.equal(true)
  } else if (type === 'application/json' || type === 'application/x-ndjson') {
    const items =
      type === 'application/json'
        ? [JSON.parse(text)].flat()
        : text
            .split('\n')
            .slice(0, -1)
            .map((line) => JSON.parse(line))
    for (const item of items)
      if (item.type !== undefined)
        expect(isProblem(item) && Number.isInteger(item.index), JSON.stringify(item)).to.equal(true)
  }
}

/** Whatever is asked, the answer is what the description promises or a problem+json, and never that the server failed. */
export const fuzz: Fuzz = {
  name: 'http',
  async tryOne(chance) {
    served ??= listening()
    const port = await served
    const method = chance.happens(0.6) ? 'POST' : chance.pick(...methods)
    const path = pathOf(chance)
    const plain = Buffer.from(bodyOf(chance))
    const sent = chance.happens(0.3) ? chance.damaged(plain) : plain
    const isGzip = chance.happens(0.3)
    const zipped = isGzip ? gzipSync(sent) : sent
    const body = isGzip && chance.happens(0.3) ? chance.damaged(zipped) : zipped
    const headers = {
      'Content-Length': String(body.length),
      'Content-Type': chance.pick(types[0]!, types[0]!, types[1]!, ...types),
      ...(isGzip || chance.happens(0.02) ? { 'Content-Encoding': chance.happens(0.9) ? 'gzip' : 'br' } : {}),
    }
    unexpected = undefined
    const message = `${method} ${path} ${JSON.stringify(headers)} ${body.toString('base64').slice(0, 2000)}`
    let answer: Answer | undefined
    try {
      answer = await answerTo(port, method, path, headers, body)
      check(answer, method)
      expect(unexpected).to.equal(undefined)
    } catch (error) {
      throw new Error(`${message}\n  was answered ${answer?.status} ${answer?.text.slice(0, 500)}: ${error}`, {
        cause: error,
      })
    }
  },
}
