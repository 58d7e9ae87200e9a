import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { messageOf } from './errors.ts'
import { createPodClient } from './pod-client.ts'

describe('A client of pods', () => {
  const servers: Server[] = []
  afterEach(async () => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  })

  async function serve(listener: RequestListener): Promise<string> {
    const server = createServer(listener)
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/status`
  }
  const failure = (call: Promise<unknown>) => call.then(() => 'nothing', messageOf)
  const ask = createPodClient({ timeoutMs: 5_000 })

  it('reads what a pod says', async () => {
    expect(await ask(await serve((_, response) => response.end('{}')))).to.equal('{}')
    const url = await serve((_, response) => response.writeHead(500).end('{}'))
    expect(await failure(ask(url))).to.equal(`Cannot ask ${url}: it answers 500`)
  })

  it('stops to listen to gigabytes, however many pods say them and however they are packed', async () => {
    let sent = 0
    const piece = Buffer.alloc(1 << 20, 0x20)
    const url = await serve((_, response) => {
      const more = () => {
        while (!response.destroyed) {
          sent += piece.length
          if (!response.write(piece)) return
        }
      }
      response.on('drain', more)
      more()
    })
    const ask = createPodClient({ timeoutMs: 60_000 })
    const packed = gzipSync(Buffer.alloc(64 << 20))
    const bomb = await serve((_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed))
    const calls = Array.from({ length: 150 }, (_, index) => failure(ask(index % 2 === 0 ? url : bomb)))
    for (const message of await Promise.all(calls))
      expect(message).to.match(/^Cannot ask http:.*: the answer is longer than 512 KiB$/)
    expect(sent).to.be.below(75 * (16 << 20))
  })

  it('holds no more answers at a time than it may, and comes to all in the end', async () => {
    let most = 0
    const held: ServerResponse[] = []
    const url = await serve((_, response) => {
      held.push(response)
      most = Math.max(most, held.length)
      // Time for as many as want to come.
      if (held.length === 1) setTimeout(() => held.splice(0).forEach((one) => void one.end('ok')), 500)
    })
    const answers = await Promise.all(Array.from({ length: 300 }, () => ask(url)))
    expect(new Set(answers)).to.deep.equal(new Set(['ok']))
    expect(most).to.be.within(2, 128)
  })

  it('gives up what takes too long, also in the middle of an answer', async () => {
    const url = await serve((_, response) => response.write(' '))
    expect(await failure(createPodClient({ timeoutMs: 50 })(url))).to.contain('timeout')
  })

  it('follows no pod to another address', async () => {
    const url = await serve((_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end())
    expect(await failure(ask(url))).to.not.equal('nothing')
  })
})
