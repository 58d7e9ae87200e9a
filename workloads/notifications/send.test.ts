import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect } from 'chai'
import { type SendOptions, send } from './send.ts'

describe('send', () => {
  const servers: Server[] = []
  after(() => {
    for (const server of servers) server.close().closeAllConnections()
  })

  async function serve(listener: RequestListener): Promise<string> {
    const server = createServer(listener)
    servers.push(server)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=s3cret`
  }
  const wall = () => Date.UTC(2026, 0, 31, 10)
  const sendTo = (url: string, options: Partial<SendOptions> = {}) =>
    send(
      {
        url,
        body: () => '{"a":1}',
        headers: (seconds) => ({ 'Content-Type': 'application/json', At: String(seconds) }),
        messages: [],
      },
      { signal: new AbortController().signal, wall, ...options },
    )
  const answering = (status: number, headers: Record<string, string> = {}) =>
    serve((_, response) => response.writeHead(status, headers).end('s3cret'))

  it('posts body and headers', async () => {
    let seen: unknown
    const url = await serve(async (request, response) => {
      const body = await text(request)
      seen = [request.method, request.headers['content-type'], request.headers.at, body]
      response.writeHead(202).end()
    })
    expect(await sendTo(url)).to.equal(undefined)
    expect(seen).to.deep.equal(['POST', 'application/json', '1769853600', '{"a":1}'])
  })

  for (const [status, reason, isFinal] of [
    [500, 'ServerError', false],
    [502, 'ServerError', false],
    [503, 'Busy', false],
    [429, 'Busy', false],
    [408, 'Busy', false],
    [400, 'Refused', true],
    [401, 'Refused', true],
    [404, 'Refused', true],
    [410, 'Refused', true],
  ] as const)
    it(`takes ${status} for ${reason}, which ${isFinal ? 'stays' : 'may pass'}`, async () => {
      expect(await sendTo(await answering(status))).to.deep.include({
        reason,
        isFinal,
        message: `it answers ${status}`,
      })
    })

  it('reads how long it is asked to wait, in seconds or until a date', async () => {
    const waitOf = async (asked: string) => (await sendTo(await answering(429, { 'Retry-After': asked })))?.retryAfterMs
    expect(await waitOf('7')).to.equal(7000)
    expect(await waitOf('Sat, 31 Jan 2026 10:01:00 GMT')).to.equal(60_000)
    expect(await waitOf('Sat, 31 Jan 2026 09:00:00 GMT')).to.equal(undefined)
    expect(await waitOf('soon')).to.equal(undefined)
  })

  it('follows no redirect', async () => {
    let reached = false
    const inside = await serve((_, response) => {
      reached = true
      response.end()
    })
    for (const status of [301, 302, 307, 308])
      expect(await sendTo(await answering(status, { Location: inside }))).to.deep.include({
        reason: 'Redirected',
        isFinal: true,
      })
    expect(reached).to.equal(false)
  })

  it('waits for an answer only so long', async () => {
    expect(await sendTo(await serve(() => {}), { timeoutMs: 20 })).to.deep.include({
      reason: 'Timeout',
      isFinal: false,
    })
  })

  it('ends with the process', async () => {
    const stop = new AbortController()
    const url = await serve(() => stop.abort())
    expect(await sendTo(url, { signal: stop.signal })).to.deep.include({ reason: 'Unreachable' })
  })

  it('takes a connection that breaks off, or is refused, for a failure that may pass', async () => {
    const resetting = await serve((request) => request.socket.resetAndDestroy())
    const closed = await serve(() => {})
    servers.at(-1)!.close()
    for (const url of [resetting, closed, 'http://nowhere.invalid/s3cret'])
      expect(await sendTo(url)).to.deep.include({ reason: 'Unreachable', isFinal: false })
  })

  it('says nothing of the address or the answer', async () => {
    const closed = await serve(() => {})
    servers.at(-1)!.close()
    for (const url of [closed, await answering(500), await answering(400), 'http://nowhere.invalid/s3cret']) {
      const { message } = (await sendTo(url))!
      expect(message).to.not.match(/s3cret|127\.0\.0\.1|nowhere|hook/)
    }
  })
})
