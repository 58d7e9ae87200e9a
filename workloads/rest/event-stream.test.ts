import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import { AppError } from '../../lib/errors.ts'
import type { HttpPart } from '../../lib/http-part.ts'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { createApp } from './app.ts'
import { streamLimits } from './event-stream.ts'
import { createLiveEvents, type LiveEvents, type LiveListener, liveVerdict } from './live-events.ts'
import { createApiServer } from './server.ts'
import { createStubDoor } from './stub-door.ts'

const { event } = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'test', namespace: 'default' },
  spec: { source: { brokers: ['localhost:9092'] } },
}).spec
const verdict = (eventId: string, isAnomaly = false) => liveVerdict(JSON.stringify({ eventId, isAnomaly }))!
const frame = (type: string, value: object) => `event: ${type}\ndata: ${JSON.stringify(value)}\n\n`
const hello = 'retry: 2000\n\n'

describe('GET /api/v1/stream', () => {
  let live: LiveEvents
  let server: HttpPart
  /** Of the source: how often it was opened and closed, what it tells, and what it fails with. */
  let opened: number
  let closed: number
  let source: LiveListener
  let failure: AppError | undefined

  beforeEach(async () => {
    ;[opened, closed, failure] = [0, 0, undefined]
    live = createLiveEvents(async (listener) => {
      opened++
      source = listener
      if (failure !== undefined) throw failure
      return {
        stop() {
          closed++
        },
      }
    })
    const log = await createLogger({ level: 'silent' })
    const app = createApp(createStubDoor(event), { log, registry: new Registry(), event, live })
    server = createApiServer(app, { port: 0, host: '127.0.0.1' })
    await server.start!(new AbortController().signal)
  })
  afterEach(async () => {
    await live.stop!()
    await server.stop!()
  })

  async function stream(query = ''): Promise<IncomingMessage> {
    const path = `http://127.0.0.1:${server.port}/api/v1/stream${query}`
    const [response] = (await once(get(path, { agent: false }), 'response')) as [IncomingMessage]
    return response.setEncoding('utf8')
  }

  /** What a stream has told, once it is so many characters. */
  async function told(response: IncomingMessage, length: number): Promise<string> {
    let text = ''
    while (text.length < length) {
      const part = response.read() as string | null
      if (part === null) await once(response, 'readable')
      else text += part
    }
    return text
  }

  async function goneFrom(response: IncomingMessage): Promise<void> {
    response.destroy()
    while (live.listeners > 0) await new Promise(setImmediate)
  }

  it('tells of each verdict as an event with its type', async () => {
    const response = await stream()
    expect(response.statusCode).to.equal(200)
    expect(response.headers).to.include({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    live.publish([verdict('a'), verdict('b', true)])
    const expected = `${hello}${frame('verdict', { eventId: 'a', isAnomaly: false })}${frame('alert', { eventId: 'b', isAnomaly: true })}`
    expect(await told(response, expected.length)).to.equal(expected)
    response.destroy()
  })

  it('tells only of the types that are asked for, and refuses others', async () => {
    const response = await stream('?only=alert')
    live.publish([verdict('a')])
    live.publish([verdict('"isAnomaly":true'), verdict('b', true)])
    const expected = `${hello}${frame('alert', { eventId: 'b', isAnomaly: true })}`
    expect(await told(response, expected.length)).to.equal(expected)
    response.destroy()
    const refused = await stream('?only=alerts')
    expect(refused.statusCode).to.equal(400)
    expect(JSON.parse((await refused.toArray()).join('')).detail).to.equal(
      'only: "alerts" is none of verdict, alert, episode',
    )
  })

  it('opens its source for the first client and closes it after the last', async () => {
    expect(opened).to.equal(0)
    const [first, second] = [await stream(), await stream()]
    first.destroy()
    source.onEvents([verdict('a')])
    await told(second, hello.length + 1)
    expect([opened, closed]).to.deep.equal([1, 0])
    await goneFrom(second)
    expect([opened, closed]).to.deep.equal([1, 1])
    await goneFrom(await stream())
    expect([opened, closed]).to.deep.equal([2, 2])
  })

  it('is 503 where the source cannot be opened, and tells its clients when it breaks off', async () => {
    failure = new AppError('Unavailable', 'Cannot read results: nobody answers')
    const refused = await stream()
    expect([refused.statusCode, refused.headers['retry-after']]).to.deep.equal([503, '1'])
    expect(JSON.parse((await refused.toArray()).join(''))).to.include({
      reason: 'Unavailable',
      detail: failure.message,
    })
    failure = undefined
    const response = await stream()
    source.onEnd(new AppError('Unavailable', 'gone'))
    expect((await response.toArray()).join('')).to.equal(
      `${hello}${frame('end', { reason: 'Unavailable', message: 'gone' })}`,
    )
    const next = await stream()
    expect([next.statusCode, opened]).to.deep.equal([200, 3])
    next.destroy()
  })

  it('drops a client that does not keep up, with a message, and tells the others on', async () => {
    const slow = await stream()
    slow.pause()
    const quick = await stream('?only=alert')
    const text = 'x'.repeat(100_000)
    let published = 0
    // What lies in the sockets is the system's; the rest waits in this process.
    for (; published < 1000 && live.listeners === 2; published++) {
      live.publish([verdict(`${published}${text}`)])
      await new Promise(setImmediate)
    }
    expect(published).to.be.within(10, 500)
    live.publish([verdict('b', true)])
    expect(await told(quick, hello.length + 1)).to.include('"eventId":"b"')
    const heard = (await slow.toArray()).join('')
    expect(heard.slice(heard.lastIndexOf('event:'))).to.match(/^event: end\ndata: \{"reason":"TooSlow"/)
    quick.destroy()
  })

  it('is 503 where there are too many already', async () => {
    const streams = await Promise.all(Array.from({ length: streamLimits.streams }, () => stream()))
    const refused = await stream()
    expect(refused.statusCode).to.equal(503)
    refused.destroy()
    for (const one of streams) one.destroy()
    while (live.listeners > 0) await new Promise(setImmediate)
    const next = await stream()
    expect(next.statusCode).to.equal(200)
    next.destroy()
  })

  it('ends with the process, and holds it up for nothing', async () => {
    const response = await stream()
    await live.stop!()
    expect((await response.toArray()).join('')).to.include('event: end\n')
    expect((await stream()).statusCode).to.equal(503)
  })

  it('answers HEAD, and other methods with what it takes', async () => {
    const ask = (method: string) => fetch(`http://127.0.0.1:${server.port}/api/v1/stream`, { method })
    expect((await ask('HEAD')).status).to.equal(200)
    const refused = await ask('POST')
    expect([refused.status, refused.headers.get('allow')]).to.deep.equal([405, 'GET, HEAD, OPTIONS'])
    expect(live.listeners).to.equal(0)
  })
})
