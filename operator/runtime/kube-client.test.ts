import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import { expect } from 'chai'
import { isTooLong } from '../../lib/bounded-body.ts'
import { AppError } from '../../lib/errors.ts'
import { createKubeClient, type KubeClient } from './kube-client.ts'
import type { Resource } from './kube-object.ts'
import { statusOf } from './kube-status.ts'
import type { KubeClientOptions } from './kube-transport.ts'
import type { WatchEvent } from './watch-stream.ts'

const deployments: Resource = { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments', namespaced: true }
const key = { namespace: 'a', name: 'x' }

describe('KubeClient', () => {
  let server: Server
  let client: KubeClient
  let requests: string[]
  let connections: number
  let answer: (request: IncomingMessage, response: ServerResponse, body: string) => void

  beforeEach(async () => {
    requests = []
    connections = 0
    server = createServer((request, response) => {
      let body = ''
      request.setEncoding('utf8').on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        requests.push(`${request.method} ${request.url}`)
        answer(request, response, body)
      })
    })
    server.on('connection', () => {
      connections += 1
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    client = connect()
  })
  afterEach(async () => {
    client.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  function connect(options: Partial<KubeClientOptions> = {}): KubeClient {
    const kubeConfig = new KubeConfig()
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/prefix`
    kubeConfig.loadFromClusterAndUser({ name: 'c', server: url, skipTLSVerify: true }, { name: 'u', token: 'secret' })
    return createKubeClient(kubeConfig, { userAgent: 'test/1', random: () => 0, ...options })
  }
  function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  }
  async function failure(call: Promise<unknown>): Promise<AppError> {
    const error = await call.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).to.be.instanceOf(AppError)
    return error as AppError
  }

  it('sends credentials and keeps its connection', async () => {
    const seen: unknown[] = []
    answer = ({ headers }, response) => {
      seen.push([headers.authorization, headers['user-agent'], headers.accept])
      json(response, 200, { kind: 'Deployment' })
    }
    await client.get(deployments, key)
    await client.get(deployments, key)
    expect(seen).to.deep.equal(Array(2).fill(['Bearer secret', 'test/1', 'application/json']))
    expect(connections).to.equal(1)
    expect(requests[0]).to.equal('GET /prefix/apis/apps/v1/namespaces/a/deployments/x')
  })

  it('says in words of its own and of the API server why a call failed', async () => {
    const status = {
      kind: 'Status',
      code: 404,
      reason: 'NotFound',
      message: 'deployments "x" not found',
      details: { name: 'x' },
    }
    answer = (_, response) => json(response, 404, status)
    const error = await failure(client.get(deployments, key))
    expect(error.message).to.equal('Cannot get Deployment a/x: deployments "x" not found (404 NotFound)')
    expect([error.code, error.retriable]).to.deep.equal(['NotFound', false])
    expect(statusOf(error)).to.include({ code: 404, reason: 'NotFound' })
  })

  it('survives an answer that is not JSON, such as a page of a load balancer', async () => {
    answer = (_, response) => response.writeHead(502).end('<html>Bad gateway</html>')
    const error = await failure(client.get(deployments, key))
    expect([error.code, statusOf(error)?.code]).to.deep.equal(['Unavailable', 502])
    answer = (_, response) => response.writeHead(200).end('{"half":')
    expect((await failure(client.get(deployments, key))).code).to.equal('Unavailable')
  })

  it('tries again where the API server asks for a short wait, and leaves a long one to the caller', async () => {
    answer = (_, response) =>
      requests.length < 3 ? json(response, 429, {}, { 'retry-after': '0' }) : json(response, 200, {})
    await client.get(deployments, key)
    expect(requests).to.have.length(3)
    answer = (_, response) => json(response, 429, {}, { 'retry-after': '7' })
    const error = await failure(client.get(deployments, key))
    expect(statusOf(error)).to.include({ code: 429, retryAfterMs: 7_000 })
    expect(requests).to.have.length(4)
  })

  it('repeats a call whose connection was reset, but no POST', async () => {
    answer = (request, response) => (requests.length === 1 ? request.socket.resetAndDestroy() : json(response, 200, {}))
    await client.get(deployments, key)
    expect(requests).to.have.length(2)
    requests = []
    client.close()
    const object = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: key }
    const error = await failure(client.create(deployments, object))
    expect([error.code, error.retriable, requests.length]).to.deep.equal(['Unavailable', true, 1])
  })

  it('does not repeat without end when every connection is reset', async () => {
    answer = (request) => request.socket.resetAndDestroy()
    for (let call = 0; call < 20; call++) await failure(client.get(deployments, key))
    expect(requests.length).to.equal(30)
  })

  it('gives up at its deadline', async () => {
    answer = () => {}
    client = connect({ deadlineMs: 50 })
    expect((await failure(client.get(deployments, key))).code).to.equal('DeadlineExceeded')
  })

  it('ends when it is told to', async () => {
    const stopping = new AbortController()
    answer = () => stopping.abort()
    const error = await failure(client.get(deployments, key, { signal: stopping.signal }))
    expect([error.code, error.retriable]).to.deep.equal(['Unavailable', false])
  })

  it('names the kind of each item of a list', async () => {
    answer = (_, response) =>
      json(response, 200, {
        metadata: { resourceVersion: '7', continue: 'next' },
        items: [{ metadata: { name: 'x' } }],
      })
    expect(await client.list(deployments, { namespace: 'a', labelSelector: 'app=x', limit: 5 })).to.deep.equal({
      items: [{ metadata: { name: 'x' }, apiVersion: 'apps/v1', kind: 'Deployment' }],
      resourceVersion: '7',
      continue: 'next',
    })
    expect(requests[0]).to.equal('GET /prefix/apis/apps/v1/namespaces/a/deployments?labelSelector=app%3Dx&limit=5')
  })

  it('applies as JSON with the name of its manager', async () => {
    let sent: unknown
    answer = ({ headers }, response, body) => {
      sent = [headers['content-type'], JSON.parse(body)]
      json(response, 200, {})
    }
    const object = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: key, unheardOf: [1] }
    await client.apply(deployments, object, { fieldManager: 'me', force: true, subresource: 'status' })
    expect(requests[0]).to.equal(
      'PATCH /prefix/apis/apps/v1/namespaces/a/deployments/x/status?fieldManager=me&force=true',
    )
    expect(sent).to.deep.equal(['application/apply-patch+yaml', object])
  })

  /** Answers without end, as fast as it is read; tells how much was taken. */
  function flood(piece: string, written: { bytes: number }) {
    return (_: IncomingMessage, response: ServerResponse): void => {
      const more = () => {
        while (!response.destroyed) {
          written.bytes += piece.length
          if (!response.write(piece)) return
        }
      }
      response.writeHead(200)
      response.on('drain', more)
      more()
    }
  }

  it('stops to listen to an answer that has no end', async () => {
    const written = { bytes: 0 }
    answer = flood(' '.repeat(1 << 20), written)
    const error = await failure(client.get(deployments, key))
    expect(error.message).to.equal('Cannot get Deployment a/x: the answer is longer than 64 MiB')
    expect(isTooLong(error)).to.equal(true)
    expect(requests).to.have.length(1)
    expect(written.bytes).to.be.below(100 << 20)
  })

  describe('watch', () => {
    const options = { resourceVersion: '5', timeoutSeconds: 60, idleTimeoutMs: 10_000 }
    async function watch(overrides: Partial<Parameters<KubeClient['watch']>[1]> = {}): Promise<string[]> {
      const names: string[] = []
      const onEvent = ({ type, object }: WatchEvent) => names.push(`${type} ${object.metadata.name}`)
      await client.watch(deployments, { ...options, onEvent, ...overrides })
      return names
    }

    it('reads events however they are cut, even within a letter', async () => {
      const text = Buffer.from(
        ['ä', 'b', 'c']
          .map((name) => `${JSON.stringify({ type: 'ADDED', object: { metadata: { name } } })}\n`)
          .join(''),
      )
      answer = async (_, response) => {
        for (const byte of text) {
          response.write(Buffer.from([byte]))
          await new Promise((resolve) => setImmediate(resolve))
        }
        response.end()
      }
      expect(await watch()).to.deep.equal(['ADDED ä', 'ADDED b', 'ADDED c'])
      expect(requests[0]).to.equal(
        'GET /prefix/apis/apps/v1/deployments?watch=true&allowWatchBookmarks=true&resourceVersion=5&timeoutSeconds=60',
      )
    })

    it('rejects what is refused, broken, or ends within an event', async () => {
      answer = (_, response) => json(response, 410, { code: 410, reason: 'Expired', message: 'too old' })
      expect(statusOf(await failure(watch()))).to.include({ code: 410, reason: 'Expired' })
      answer = (_, response) => response.end('nonsense\n')
      expect((await failure(watch())).message).to.equal('Cannot watch deployments: an event is not JSON')
      answer = (_, response) => response.end('{"type":"ADDED"')
      expect((await failure(watch())).message).to.equal('Cannot watch deployments: it ended in the middle of an event')
      answer = (_, response) => response.end('{}\n')
      expect((await failure(watch())).message).to.equal('Cannot watch deployments: an event has no type or no object')
    })

    it('stops to listen to an event that has no end', async () => {
      const written = { bytes: 0 }
      answer = flood('x'.repeat(1 << 20), written)
      expect((await failure(watch())).message).to.equal('Cannot watch deployments: the answer is longer than 8 MiB')
      expect(written.bytes).to.be.below(40 << 20)
    })

    it('gives up a watch that fell silent', async () => {
      answer = (_, response) => {
        response.writeHead(200)
        response.flushHeaders()
      }
      expect((await failure(watch({ idleTimeoutMs: 30 }))).code).to.equal('DeadlineExceeded')
    })
  })
})
