import { once } from 'node:events'
import { Agent, createServer, get, type IncomingMessage, type RequestListener } from 'node:http'
import { connect } from 'node:net'
import { expect } from 'chai'
import { AppError } from './errors.ts'
import { httpPart } from './http-part.ts'

const loopback = { name: 'test', port: 0, host: '127.0.0.1' }
const never = new AbortController().signal

async function started(listener: RequestListener, options: { graceMs?: number } = {}) {
  const part = httpPart(createServer({ keepAliveTimeout: 60_000 }, listener), { ...loopback, ...options })
  await part.start!(never)
  return part
}

describe('httpPart', () => {
  it('says in one line that a port is in use', async () => {
    const first = await started((_, response) => response.end())
    const second = httpPart(createServer(), { ...loopback, port: first.port })
    const error = await Promise.resolve(second.start!(never)).catch((e) => e)
    expect(error).to.be.instanceOf(AppError)
    expect(error.message).to.equal(`Cannot listen on port ${first.port} (test): it is in use`)
    await first.stop!()
  })

  it('answers the request in flight when it stops, and ends its keep-alive connection', async () => {
    const received = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const part = await started(async (_, response) => {
      received.resolve()
      await release.promise
      response.end('done')
    })
    const agent = new Agent({ keepAlive: true })
    const request = get({ port: part.port, host: '127.0.0.1', agent })
    const [socket] = await once(request, 'socket')
    const closed = once(socket, 'close')
    await received.promise
    const stopped = part.stop!()
    release.resolve()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    expect((await response.toArray()).join('')).to.equal('done')
    await Promise.all([stopped, closed])
    agent.destroy()
  })

  it('tells a client that keeps sending while it stops to close the connection', async () => {
    const received = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const part = await started(async (_, response) => {
      received.resolve()
      await release.promise
      response.end()
    })
    const socket = connect(part.port, '127.0.0.1')
    socket.write('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n')
    await received.promise
    const stopped = part.stop!()
    socket.write('GET /2 HTTP/1.1\r\nHost: a\r\n\r\n')
    release.resolve()
    const heard = (await socket.toArray()).join('')
    await stopped
    expect(heard.match(/^HTTP\/1\.1 200 OK/gm)).to.have.length(2)
    expect(heard).to.match(/^Connection: close/m)
  })

  it('does not wait for connections that never sent a request', async () => {
    const part = await started((_, response) => response.end())
    const socket = connect(part.port, '127.0.0.1')
    await once(socket, 'connect')
    await fetch(`http://127.0.0.1:${part.port}/`)
    socket.resume()
    await Promise.all([part.stop!(), once(socket, 'close')])
  })

  it('cuts what is still in flight after the grace period', async () => {
    const received = Promise.withResolvers<void>()
    const part = await started(() => received.resolve(), { graceMs: 1 })
    const answer = fetch(`http://127.0.0.1:${part.port}/`).catch((error: Error) => error.message)
    await received.promise
    await part.stop!()
    expect(await answer).to.equal('fetch failed')
  })
})
