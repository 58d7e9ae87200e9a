import { expect } from 'chai'
import { Counter, Registry } from 'prom-client'
import type { HttpPart } from './http-part.ts'
import { type Check, createProbes } from './probes.ts'

describe('createProbes', () => {
  const registry = new Registry()
  new Counter({ name: 'seen_total', help: 'Seen', registers: [registry] }).inc(7)
  const stop = new AbortController()
  let kafka: string | undefined
  let stuck: string | undefined
  const broken: Check = () => {
    throw new Error('the check itself failed')
  }
  const ready: Record<string, Check> = { kafka: () => kafka, redis: () => undefined }
  let part: HttpPart

  before(async () => {
    part = createProbes({
      port: 0,
      host: '127.0.0.1',
      registry,
      stopping: stop.signal,
      live: { loop: () => stuck },
      ready,
      status: () => ({ model: 'm1', partitions: [0, 3] }),
    })
    await part.start!(stop.signal)
  })
  after(() => part.stop!())

  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${part.port}${path}`, init)
    return { status: response.status, body: await response.text(), headers: response.headers }
  }

  it('is live and ready while nothing fails', async () => {
    expect(await ask('/livez')).to.include({ status: 200, body: '[+]loop ok\nok\n' })
    expect(await ask('/readyz?verbose')).to.include({
      status: 200,
      body: '[+]shutdown ok\n[+]kafka ok\n[+]redis ok\nok\n',
    })
  })

  it('names the dependency that fails, and stays live', async () => {
    kafka = 'no broker answers'
    expect(await ask('/readyz')).to.include({
      status: 503,
      body: '[+]shutdown ok\n[-]kafka failed: no broker answers\n[+]redis ok\nfailed\n',
    })
    expect(await ask('/livez')).to.include({ status: 200 })
    kafka = undefined
  })

  it('is not live when its own loop is stuck', async () => {
    stuck = 'no poll for 30 s'
    expect(await ask('/livez')).to.include({ status: 503, body: '[-]loop failed: no poll for 30 s\nfailed\n' })
    stuck = undefined
  })

  it('counts a check that throws as failing', async () => {
    ready.broken = broken
    expect((await ask('/readyz')).body).to.include('[-]broken failed: the check itself failed')
    delete ready.broken
  })

  it('gives the metrics in the Prometheus format and the status as JSON', async () => {
    const metrics = await ask('/metrics')
    expect(metrics.headers.get('content-type')).to.match(/^text\/plain; version=0\.0\.4/)
    expect(metrics.body).to.include('\nseen_total 7\n')
    const status = await ask('/status')
    expect(status.headers.get('content-type')).to.equal('application/json')
    expect(JSON.parse(status.body)).to.deep.equal({ model: 'm1', partitions: [0, 3] })
  })

  it('answers 404 for other paths and 405 for other methods', async () => {
    expect(await ask('/healthz')).to.include({
      status: 404,
      body: 'not found; there are /livez /readyz /metrics /status\n',
    })
    const refused = await ask('/livez', { method: 'POST' })
    expect([refused.status, refused.headers.get('allow')]).to.deep.equal([405, 'GET, HEAD'])
  })

  it('is not ready once the process stops, and still live', async () => {
    stop.abort()
    expect(await ask('/readyz')).to.include({
      status: 503,
      body: '[-]shutdown failed: the process is stopping\n[+]kafka ok\n[+]redis ok\nfailed\n',
    })
    expect(await ask('/livez')).to.include({ status: 200 })
  })
})
