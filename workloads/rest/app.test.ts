import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { Counter, Registry } from 'prom-client'
import { AppError } from '../../lib/errors.ts'
import type { HttpPart } from '../../lib/http-part.ts'
import type { Logger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { apiLimits, createApp } from './app.ts'
import { setCaller } from './caller.ts'
import { DetectError } from './door.ts'
import { createLiveEvents } from './live-events.ts'
import { createApiServer } from './server.ts'
import { createStubDoor } from './stub-door.ts'

const { spec } = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'test', namespace: 'default' },
  spec: { source: { brokers: ['localhost:9092'] } },
})

const event = {
  eventId: 'test-123',
  timestamp: 1640000000,
  userId: 'user-456',
  value: 125.5,
  features: { feature1: 10.5, feature2: 20.3 },
}
let ids = 0
/** The seed's event under an id of its own. */
const anEvent = (over: object = {}) => ({ ...event, eventId: `e-${++ids}`, ...over })
const loopback = { port: 0, host: '127.0.0.1' }
const never = new AbortController().signal
const json = { 'Content-Type': 'application/json' }

describe('REST door', () => {
  const logged: { fields: Record<string, unknown>; message: string }[] = []
  const write = (fields: object, message: string) => void logged.push({ fields: { ...fields }, message })
  const log: Logger = { debug: write, info: write, warn: write, error: write }
  const registry = new Registry()
  new Counter({ name: 'seen_total', help: 'Seen', registers: [registry] }).inc(7)
  let door: ReturnType<typeof createStubDoor>
  let server: HttpPart

  beforeEach(async () => {
    logged.length = 0
    door = createStubDoor(spec.event)
    const app = createApp(door, { log, registry, event: spec.event, live: createLiveEvents(), timeoutMs: 50 })
    server = createApiServer(app, loopback)
    await server.start!(never)
  })
  afterEach(() => server.stop!())

  async function ask(path: string, init: RequestInit = {}) {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init)
    const { status, headers } = response
    const text = await response.text()
    return { status, headers, text, type: headers.get('content-type') }
  }
  const post = (path: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = json) =>
    ask(path, { method: 'POST', body, headers })
  const detect = (body: unknown) => post('/api/v1/detect', JSON.stringify(body))

  /** A problem's members, once it is a problem+json whose status, title and instance are right. */
  async function problemOf(answer: ReturnType<typeof ask>, status: number, title: string, path = '/api/v1/detect') {
    const { status: got, type, text } = await answer
    expect(got, text).to.equal(status)
    expect(type).to.equal('application/problem+json')
    const { type: about, title: said, status: inBody, instance, ...rest } = JSON.parse(text)
    expect({ about, said, inBody, instance }).to.deep.equal({
      about: 'about:blank',
      said: title,
      inBody: status,
      instance: path,
    })
    return rest
  }

  describe('POST /api/v1/detect', () => {
    it("answers the seed's own request with a verdict", async () => {
      const answer = await detect(event)
      expect(answer).to.include({ status: 200, type: 'application/json' })
      expect(JSON.parse(answer.text)).to.include({ eventId: 'test-123', userId: 'user-456', isAnomaly: true })
      expect(Number(answer.headers.get('content-length'))).to.equal(Buffer.byteLength(answer.text))
      for (const header of ['x-powered-by', 'etag', 'idempotent-replayed'])
        expect(answer.headers.has(header), header).to.equal(false)
    })

    it('answers the same event again with the first verdict, and says so', async () => {
      const first = await detect(event)
      const second = await detect({ ...event, value: 1 })
      expect(second.text).to.equal(first.text)
      expect(second.headers.get('idempotent-replayed')).to.equal('true')
    })

    it('is the same however its path is written', async () => {
      const first = await detect(event)
      for (const path of ['/api/v1/detect?trace=1', '/api/v1/detect/', '/API/v1/detect']) {
        const answer = await post(path, JSON.stringify(event))
        expect([answer.status, answer.text, answer.headers.get('idempotent-replayed')]).to.deep.equal([
          200,
          first.text,
          'true',
        ])
        expect(answer.headers.has('x-request-id')).to.equal(true)
        const refused = await post(path, '{')
        expect([refused.status, JSON.parse(refused.text).instance]).to.deep.equal([400, path.split('?')[0]])
      }
    })

    it('counts bytes, not characters', async () => {
      const answer = await detect(anEvent({ userId: 'Zoë 𝄞' }))
      expect(JSON.parse(answer.text).userId).to.equal('Zoë 𝄞')
    })

    it('reads a body with a byte order mark, in any spelling of the media type', async () => {
      const body = `\ufeff${JSON.stringify(anEvent())}`
      for (const type of [
        'application/json; charset=UTF-8',
        'Application/JSON;charset="utf-8"',
        'application/json;v=1',
      ])
        expect(await post('/api/v1/detect', body, { 'Content-Type': type })).to.include({ status: 200 })
    })

    it('accepts events without features, value, time or id', async () => {
      expect(await detect({ userId: 'u' })).to.include({ status: 200 })
    })
  })

  describe('bad input', () => {
    it('malformed JSON: 400 with its position', async () => {
      const problem = await problemOf(post('/api/v1/detect', '{"eventId":"a",}'), 400, 'Bad Request')
      expect(problem).to.include({ reason: 'MalformedJson', position: 15 })
      expect(problem.detail).to.match(/^Cannot parse JSON: .*position 15/)
    })

    it('an empty body: 400', async () => {
      expect(await problemOf(post('/api/v1/detect', ''), 400, 'Bad Request')).to.include({ reason: 'MalformedJson' })
    })

    it('NaN as a number: 400, as it is no JSON', async () => {
      const problem = await problemOf(post('/api/v1/detect', '{"userId":"u","value":NaN}'), 400, 'Bad Request')
      expect(problem).to.include({ reason: 'MalformedJson' })
    })

    it('bytes that are not UTF-8: 400', async () => {
      const problem = await problemOf(post('/api/v1/detect', new Uint8Array([0x22, 0xff, 0x22])), 400, 'Bad Request')
      expect(problem.detail).to.equal('Cannot read the body: it is not UTF-8')
    })

    const unreadable: [string, unknown, string, string | undefined][] = [
      ['not an object', 'text', 'NotAnObject', undefined],
      ['null', null, 'NotAnObject', undefined],
      ['an array', [anEvent()], 'NotAnObject', undefined],
      ['the key absent', anEvent({ userId: undefined }), 'MissingKey', 'userId'],
      ['an id longer than 256', anEvent({ eventId: 'x'.repeat(257) }), 'InvalidId', 'eventId'],
      ['an id that is an object', anEvent({ eventId: {} }), 'InvalidId', 'eventId'],
      ['a value that is a string', anEvent({ value: '12' }), 'InvalidValue', 'value'],
      ['a feature that is a string', anEvent({ features: { a: 1, b: '2' } }), 'InvalidFeature', 'features.b'],
      ['features that are a list', anEvent({ features: [1, 2] }), 'InvalidFeature', 'features'],
      ['a time that is no time', anEvent({ timestamp: 'yesterday' }), 'InvalidTime', 'timestamp'],
      ['a time in the far future', anEvent({ timestamp: 4e12 }), 'InvalidTime', 'timestamp'],
      [
        'more features than the bound',
        anEvent({ features: Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, i])) }),
        'TooManyFeatures',
        'features',
      ],
    ]
    for (const [what, body, reason, field] of unreadable)
      it(`${what}: 422 ${reason}${field === undefined ? '' : ` naming ${field}`}`, async () => {
        const problem = await problemOf(detect(body), 422, 'Unprocessable Entity')
        expect([problem.reason, problem.field]).to.deep.equal([reason, field])
        expect(problem.detail).to.be.a('string').and.not.to.equal('')
      })

    it('Infinity as a number: 422 naming the field', async () => {
      const body = '{"userId":"u","value":1e999}'
      const problem = await problemOf(post('/api/v1/detect', body), 422, 'Unprocessable Entity')
      expect(problem).to.include({ reason: 'InvalidValue', field: 'value' })
    })

    it('a body of exactly 1 MiB is read, one byte more: 413', async () => {
      const text = JSON.stringify(anEvent())
      const padded = (bytes: number) => text + ' '.repeat(bytes - text.length)
      expect(await post('/api/v1/detect', padded(apiLimits.eventBytes))).to.include({ status: 200 })
      const problem = await problemOf(
        post('/api/v1/detect', padded(apiLimits.eventBytes + 1)),
        413,
        'Payload Too Large',
      )
      expect(problem).to.deep.equal({ reason: 'TooLarge', detail: 'The body has more than 1048576 bytes' })
    })

    it('a body over 1 MiB that does not tell its length: 413', async () => {
      const mebibytes = (function* () {
        for (let i = 0; i < 3; i++) yield Buffer.alloc(2 ** 20, ' ')
      })()
      const body = ReadableStream.from(mebibytes)
      const answer = ask('/api/v1/detect', { method: 'POST', body, headers: json, duplex: 'half' })
      expect(await problemOf(answer, 413, 'Payload Too Large')).to.include({ reason: 'TooLarge' })
    })

    it('a body with gzip is read as it is without, within the same limits', async () => {
      const gzip = { ...json, 'Content-Encoding': 'gzip' }
      const one = anEvent()
      const answer = await post('/api/v1/detect', new Uint8Array(gzipSync(JSON.stringify(one))), gzip)
      expect([answer.status, JSON.parse(answer.text).eventId]).to.deep.equal([200, one.eventId])
      const bomb = new Uint8Array(gzipSync(Buffer.alloc(200 * 2 ** 20, ' ')))
      expect(bomb.length).to.be.below(apiLimits.eventBytes)
      const large = await problemOf(post('/api/v1/detect', bomb, gzip), 413, 'Payload Too Large')
      expect(large).to.deep.equal({ reason: 'TooLarge', detail: 'The body has more than 1048576 bytes' })
      for (const body of ['{}', new Uint8Array(gzipSync('{}').subarray(0, 15))]) {
        const torn = await problemOf(post('/api/v1/detect', body, gzip), 400, 'Bad Request')
        expect(torn.reason).to.equal('MalformedGzip')
      }
    })

    for (const [what, headers] of [
      ['a form', { 'Content-Type': 'application/x-www-form-urlencoded' }],
      ['another charset', { 'Content-Type': 'application/json; charset=latin1' }],
      ['a body in another coding', { ...json, 'Content-Encoding': 'br' }],
      ['NDJSON for one event', { 'Content-Type': 'application/x-ndjson' }],
    ] as [string, Record<string, string>][])
      it(`${what}: 415`, async () => {
        const answer = post('/api/v1/detect', JSON.stringify(anEvent()), headers)
        expect(await problemOf(answer, 415, 'Unsupported Media Type')).to.include({ reason: 'UnsupportedMediaType' })
      })

    it('no media type: 415', async () => {
      const answer = ask('/api/v1/detect', { method: 'POST', body: new Uint8Array([123, 125]) })
      expect((await problemOf(answer, 415, 'Unsupported Media Type')).detail).to.match(/^Content-Type is missing; /)
    })

    it('an unknown route: 404', async () => {
      const problem = await problemOf(ask('/api/v2/detect?x=1'), 404, 'Not Found', '/api/v2/detect')
      expect(problem).to.deep.equal({ reason: 'NotFound', detail: 'There is no /api/v2/detect; see /openapi.json' })
    })

    it('a path that is not well-formed: 400', async () => {
      const answer = ask('/api/v1/results/%zz')
      const problem = await problemOf(answer, 400, 'Bad Request', '/api/v1/results/%zz')
      expect(problem).to.include({ reason: 'MalformedPath' })
    })

    it('another method: 405 with those that are allowed', async () => {
      const answer = ask('/api/v1/detect', { method: 'PUT', body: '{}', headers: json })
      expect(await problemOf(answer, 405, 'Method Not Allowed')).to.deep.equal({
        reason: 'MethodNotAllowed',
        detail: '/api/v1/detect answers POST, OPTIONS, not PUT',
      })
      expect((await answer).headers.get('allow')).to.equal('POST, OPTIONS')
      expect((await ask('/api/v1/health', { method: 'DELETE' })).headers.get('allow')).to.equal('GET, HEAD, OPTIONS')
      expect(await ask('/api/v1/detect', { method: 'OPTIONS' })).to.include({ status: 204 })
    })
  })

  describe('POST /api/v1/detect/batch', () => {
    const batch = '/api/v1/detect/batch'
    const ndjson = { 'Content-Type': 'application/x-ndjson' }

    it('answers a JSON array with one item per event, in order', async () => {
      const events = [anEvent(), anEvent({ value: 'x' }), anEvent()]
      const answer = await post(batch, JSON.stringify(events))
      expect(answer).to.include({ status: 200, type: 'application/json' })
      const [first, second, third, ...rest] = JSON.parse(answer.text)
      expect(rest).to.deep.equal([])
      expect([first.eventId, third.eventId]).to.deep.equal([events[0]!.eventId, events[2]!.eventId])
      expect(second).to.deep.equal({
        type: 'about:blank',
        title: 'Unprocessable Entity',
        status: 422,
        detail: 'value: "x" must be a finite number',
        reason: 'InvalidValue',
        field: 'value',
        index: 1,
      })
    })

    it('answers NDJSON with NDJSON, and a broken line with a problem in its place', async () => {
      const [a, b] = [anEvent(), anEvent()]
      const answer = await post(batch, `${JSON.stringify(a)}\r\n\n{"eventId":\n${JSON.stringify(b)}`, ndjson)
      expect(answer).to.include({ status: 200, type: 'application/x-ndjson' })
      const lines = answer.text.split('\n')
      expect(lines.pop()).to.equal('')
      const items = lines.map((line) => JSON.parse(line))
      expect(items.map((item) => item.eventId ?? [item.reason, item.status, item.index])).to.deep.equal([
        a.eventId,
        ['MalformedJson', 400, 1],
        b.eventId,
      ])
    })

    it('answers nothing with nothing', async () => {
      expect(await post(batch, '[]')).to.include({ status: 200, text: '[]' })
      expect(await post(batch, '\n', ndjson)).to.include({ status: 200, text: '' })
    })

    it('says that it was replayed when all of it was', async () => {
      const events = [anEvent(), anEvent()]
      const first = await post(batch, JSON.stringify(events))
      const again = await post(batch, JSON.stringify(events))
      const partly = await post(batch, JSON.stringify([...events, anEvent()]))
      expect(again.text).to.equal(first.text)
      const replayed = [first, again, partly].map(({ headers }) => headers.get('idempotent-replayed'))
      expect(replayed).to.deep.equal([null, 'true', null])
    })

    it('refuses what is not an array: 422', async () => {
      const answer = post(batch, JSON.stringify(anEvent()))
      expect(await problemOf(answer, 422, 'Unprocessable Entity', batch)).to.include({ reason: 'NotAnArray' })
    })

    it('reads 10,000 events; one more: 413, and none of them is scored', async () => {
      const lines = Array.from({ length: apiLimits.batchEvents }, (_, i) => `{"eventId":"b${i}","userId":"u"}`)
      expect((await post(batch, lines.join('\n'), ndjson)).text.match(/\n/g)).to.have.length(10_000)
      let scored = false
      door.before = () => {
        scored = true
      }
      const more = [...lines, '{"userId":"u"}']
      for (const answer of [post(batch, more.join('\n'), ndjson), post(batch, `[${more.join(',')}]`)])
        expect(await problemOf(answer, 413, 'Payload Too Large', batch)).to.include({ reason: 'TooManyEvents' })
      expect(scored).to.equal(false)
    })

    it('refuses more than 8 MiB: 413', async () => {
      const answer = post(batch, `[${' '.repeat(apiLimits.batchBytes)}]`)
      expect(await problemOf(answer, 413, 'Payload Too Large', batch)).to.include({ reason: 'TooLarge' })
    })
  })

  describe('GET', () => {
    it('gives the verdict of an event again, 404 if there is none', async () => {
      const { text } = await detect(anEvent({ eventId: 'a/b c' }))
      const path = '/api/v1/results/a%2Fb%20c'
      expect(await ask(path)).to.include({ status: 200, type: 'application/json', text })
      const problem = await problemOf(ask('/api/v1/results/other'), 404, 'Not Found', '/api/v1/results/other')
      expect(problem.detail).to.equal('There is no verdict of the event "other", or no longer')
    })

    it('says how it is: 200 while it answers, 503 when it does not', async () => {
      const answers = async () => [await ask('/api/v1/health'), await ask('/actuator/health')] as const
      let [health, actuator] = await answers()
      expect(health.status).to.equal(200)
      expect(JSON.parse(health.text)).to.deep.equal(door.state)
      expect(actuator).to.include({ status: 200, text: '{"status":"UP"}' })

      door.state = { status: 'DEGRADED', components: { model: { status: 'DOWN' } } }
      ;[health, actuator] = await answers()
      expect(health).to.include({ status: 200, text: JSON.stringify(door.state) })
      expect(actuator).to.include({ status: 200, text: '{"status":"UP"}' })

      door.state = { ...door.state, status: 'DOWN' }
      ;[health, actuator] = await answers()
      expect([health.status, actuator.status, actuator.text]).to.deep.equal([503, 503, '{"status":"DOWN"}'])
    })

    it('gives the metrics in the Prometheus format, and HEAD their head', async () => {
      const answer = await ask('/actuator/prometheus')
      expect(answer.type).to.match(/^text\/plain; version=0\.0\.4/)
      expect(answer.text).to.include('\nseen_total 7\n')
      const head = await ask('/actuator/prometheus', { method: 'HEAD' })
      expect([head.status, head.text, head.headers.get('content-length')]).to.deep.equal([
        200,
        '',
        String(answer.text.length),
      ])
    })
  })

  describe('X-Request-Id', () => {
    const idOf = async (given?: string) => {
      const headers = given === undefined ? {} : { 'X-Request-Id': given }
      return (await ask('/nowhere', { headers })).headers.get('x-request-id')
    }

    it("is the caller's own, also on errors", async () => {
      expect(await idOf('abc-123')).to.equal('abc-123')
    })

    it('is a new one where the caller has none or an unreasonable one', async () => {
      const uuid = /^[\da-f-]{36}$/
      const made = [await idOf(), await idOf(), await idOf('two words'), await idOf('x'.repeat(129))]
      for (const id of made) expect(id).to.match(uuid)
      expect(new Set(made).size).to.equal(4)
    })
  })

  describe('when the door fails', () => {
    it('answers 503 with Retry-After while it is unavailable', async () => {
      door.before = () => Promise.reject(new AppError('Unavailable', 'Cannot reach Kafka'))
      const answer = detect(anEvent())
      const problem = await problemOf(answer, 503, 'Service Unavailable')
      expect(problem).to.deep.equal({ reason: 'Unavailable', detail: 'Cannot reach Kafka' })
      expect((await answer).headers.get('retry-after')).to.equal('1')
      expect(logged).to.deep.equal([])
    })

    it('answers 504 when the door gave up, or takes too long', async () => {
      door.before = () => Promise.reject(new AppError('DeadlineExceeded', 'No answer of inference within 2 s'))
      expect(await problemOf(detect(anEvent()), 504, 'Gateway Timeout')).to.include({ reason: 'DeadlineExceeded' })
      door.before = () => new Promise(() => {})
      const problem = await problemOf(detect(anEvent()), 504, 'Gateway Timeout')
      expect(problem.detail).to.equal('There was no answer within 0.05 s')
    })

    it('answers 500 without a word about the inside, which is in the log under the request id', async () => {
      const error = new TypeError('secret of the house')
      door.before = () => Promise.reject(error)
      const answer = post('/api/v1/detect', JSON.stringify(anEvent()), { ...json, 'X-Request-Id': 'r-1' })
      const problem = await problemOf(answer, 500, 'Internal Server Error')
      expect(problem.reason).to.equal('Internal')
      expect((await answer).text).not.to.match(/secret|at .*\.ts/)
      expect(logged).to.deep.equal([{ fields: { error, requestId: 'r-1' }, message: 'request failed' }])
    })
  })

  it('holds bodies within one budget: those that are largest are refused, small ones are answered', async () => {
    const path = '/api/v1/detect/batch'
    const length = apiLimits.batchBytes
    const heard: Promise<number>[] = []
    const unfinished = Array.from({ length: 12 }, () => {
      const headers = { ...json, 'Content-Length': length }
      const request = httpRequest({ port: server.port, host: '127.0.0.1', method: 'POST', path, headers })
      request.on('error', () => {})
      heard.push(
        once(request, 'response').then(([response]) => {
          expect(response.headers['retry-after']).to.equal('1')
          return response.statusCode
        }),
      )
      request.write(Buffer.alloc(length - 1, ' '))
      return request
    })
    const refused = await Promise.all([0, 1, 2, 3].map(() => Promise.race(heard)))
    expect(refused).to.deep.equal([503, 503, 503, 503])
    expect((await detect(anEvent())).status).to.equal(200)
    for (const request of unfinished) request.destroy()
  })

  it('answers for each event of a batch where the door could for some only, and reports what it should not have met', async () => {
    const failures = [new DetectError('Unknown', 'Kafka is slow'), new TypeError('secret of the house')]
    const detectAll = door.detect.bind(door)
    door.detect = async (bodies, options) => {
      const outcomes = [...(await detectAll(bodies, options))]
      for (const [i, error] of failures.entries()) outcomes[i] = { kind: 'failed', error }
      return outcomes
    }
    const answer = await post('/api/v1/detect/batch', JSON.stringify([anEvent(), anEvent(), anEvent()]))
    const [unknown, internal, verdict] = JSON.parse(answer.text)
    expect(unknown).to.include({ status: 503, reason: 'Unavailable', stored: 'Unknown', index: 0 })
    expect(internal).to.include({ status: 500, reason: 'Internal', index: 1 })
    expect(verdict).to.have.property('eventId')
    expect(logged.map(({ fields }) => fields.error)).to.deep.equal([failures[1]])
    failures.pop()
    const whole = post('/api/v1/detect/batch', JSON.stringify([anEvent()]))
    const problem = await problemOf(whole, 503, 'Service Unavailable', '/api/v1/detect/batch')
    expect(problem).to.deep.include({ reason: 'Unavailable', stored: 'Unknown' })
  })

  describe('slow senders', () => {
    const send = async (text: string) => {
      const app = createApp(door, { log, registry, event: spec.event, live: createLiveEvents() })
      const hasty = createApiServer(app, { ...loopback, headersTimeoutMs: 100, requestTimeoutMs: 200 })
      await hasty.start!(never)
      const socket = connect(hasty.port, '127.0.0.1')
      socket.write(text)
      const heard = (await socket.toArray()).join('')
      await hasty.stop!()
      return heard
    }

    it('are cut off when the head of the request takes too long', async () => {
      expect(await send('POST /api/v1/detect HTTP/1.1\r\nHost: a\r\nContent-')).to.match(/^HTTP\/1\.1 408 /)
    })

    it('are cut off when the body takes too long', async () => {
      const head =
        'POST /api/v1/detect HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n'
      expect(await send(`${head}{"a"`)).to.match(/^HTTP\/1\.1 408 /)
      expect(logged).to.deep.equal([])
    })
  })

  describe('POST /api/v1/feedback', () => {
    const path = '/api/v1/feedback'
    const said = { eventId: 'e', label: 'Confirmed' }
    async function restart(options: Partial<Parameters<typeof createApp>[1]>): Promise<void> {
      await server.stop!()
      const app = createApp(door, { log, registry, event: spec.event, live: createLiveEvents(), ...options })
      server = createApiServer(app, loopback)
      await server.start!(never)
    }
    const say = (body: object) => post(path, JSON.stringify(body))

    it('is taken of an event that is known, and of any with its verdict', async () => {
      await restart({ openFeedback: true })
      const verdict = JSON.parse((await detect(anEvent({ eventId: 'e' }))).text)
      const known = await say(said)
      expect([known.status, known.text]).to.deep.equal([202, JSON.stringify(said)])
      expect((await say({ label: 'FalseAlarm', verdict: { ...verdict, eventId: 'gone' } })).status).to.equal(202)
      expect(door.taken.map(({ eventId, label }) => [eventId, label])).to.deep.equal([
        ['e', 'Confirmed'],
        ['gone', 'FalseAlarm'],
      ])
      const unknown = await problemOf(say({ ...said, eventId: 'other' }), 404, 'Not Found', path)
      expect(unknown.reason).to.equal('NotFound')
    })

    it('is known by who said it, where that is asked', async () => {
      await restart({
        authenticate(request, _response, next) {
          setCaller(request, 'ann@example.com')
          next()
        },
      })
      await detect(anEvent({ eventId: 'e' }))
      expect((await say({ ...said, by: 'somebody else' })).status).to.equal(202)
      expect(door.taken[0]).to.deep.equal({ ...said, by: 'ann@example.com' })
    })

    it('is listed once it is learnt, in pages', async () => {
      await restart({ openFeedback: true })
      const learnt = (eventId: string, key: string, time: number) => {
        return { eventId, key, label: 'Confirmed', time, anomalyScore: 0.5, reasons: [] } as const
      }
      await door.learnt.put([learnt('a', 'u', 1), learnt('b', 'v', 2), learnt('c', 'u', 3)])
      const pageOf = async (query: string) => JSON.parse((await ask(`${path}?${query}`)).text)
      const first = await pageOf('key=u&label=Confirmed&limit=1')
      expect(first.feedback.map(({ eventId }: { eventId: string }) => eventId)).to.deep.equal(['c'])
      const second = await pageOf(`key=u&cursor=${encodeURIComponent(first.next)}`)
      expect(second).to.deep.equal({
        feedback: [
          {
            eventId: 'a',
            userId: 'u',
            label: 'Confirmed',
            time: 1,
            by: null,
            withdrawnAt: null,
            anomalyScore: 0.5,
            reasons: [],
          },
        ],
        next: null,
      })
      for (const wrong of ['label=anomaly', 'limit=1001', 'cursor=7'])
        await problemOf(ask(`${path}?${wrong}`), 400, 'Bad Request', `${path}`)
    })

    it('is refused where it is none', async () => {
      await restart({ openFeedback: true })
      for (const [body, field] of [
        [{ ...said, label: 'anomaly' }, 'label'],
        [{ label: 'Confirmed' }, 'eventId'],
        [{ ...said, eventId: 7 }, 'eventId'],
        [{ ...said, verdict: {} }, 'verdict.eventId'],
        [{ ...said, verdict: { eventId: 'f', userId: 'u', anomalyScore: 1, reasons: [] } }, 'verdict.eventId'],
      ] as const) {
        const problem = await problemOf(say(body), 422, 'Unprocessable Entity', path)
        expect([problem.reason, problem.field]).to.deep.equal(['InvalidFeedback', field])
      }
      expect(door.taken).to.deep.equal([])
    })

    it('is taken from nobody knows whom only where the pipeline says so, and not at all where it learns from none', async () => {
      expect((await problemOf(say(said), 403, 'Forbidden', path)).reason).to.equal('Forbidden')
      await restart({ authenticate: (_request, _response, next) => next() })
      expect((await problemOf(say(said), 404, 'Not Found', path)).detail).to.include('no verdict')
      door.feedback = undefined
      door.said = undefined
      await restart({})
      expect((await problemOf(ask(path), 404, 'Not Found', path)).detail).to.include('detection.feedback')
      expect((await problemOf(say(said), 404, 'Not Found', path)).detail).to.include('detection.feedback')
    })
  })
})
