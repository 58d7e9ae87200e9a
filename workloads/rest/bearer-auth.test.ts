import { expect } from 'chai'
import { Registry } from 'prom-client'
import type { HttpPart } from '../../lib/http-part.ts'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { createApp } from './app.ts'
import { bearerAuth } from './bearer-auth.ts'
import { createLiveEvents } from './live-events.ts'
import { createApiServer } from './server.ts'
import { createStubDoor } from './stub-door.ts'

describe('bearerAuth', () => {
  let server: HttpPart
  let tokens: readonly string[]

  before(async () => {
    const { event } = parsePipeline({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'test', namespace: 'default' },
      spec: { source: { brokers: ['localhost:9092'] } },
    }).spec
    const log = await createLogger({ level: 'silent' })
    const authenticate = bearerAuth(() => tokens)
    const app = createApp(createStubDoor(event), {
      log,
      registry: new Registry(),
      event,
      live: createLiveEvents(),
      authenticate,
    })
    server = createApiServer(app, { port: 0, host: '127.0.0.1' })
    await server.start!(new AbortController().signal)
  })
  after(() => server.stop!())
  beforeEach(() => {
    tokens = ['first-token', 'second-token']
  })

  const ask = async (path: string, authorization?: string, method = 'GET') => {
    const headers: Record<string, string> = authorization === undefined ? {} : { Authorization: authorization }
    if (method === 'POST') headers['Content-Type'] = 'application/json'
    const body = method === 'POST' ? '{"userId":"u"}' : null
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method, headers, body })
    const { status } = response
    return { status, text: await response.text(), challenge: response.headers.get('www-authenticate') }
  }

  it('lets each of the tokens through, whatever the case of the scheme', async () => {
    expect((await ask('/api/v1/detect', 'Bearer first-token', 'POST')).status).to.equal(200)
    expect((await ask('/api/v1/detect', 'bearer second-token', 'POST')).status).to.equal(200)
    expect((await ask('/api/v1/results/none', 'Bearer second-token')).status).to.equal(404)
  })

  it('follows a change of the tokens', async () => {
    tokens = ['second-token', 'third-token']
    const statuses = ['first-token', 'second-token', 'third-token'].map(
      async (token) => (await ask('/api/v1/results/none', `Bearer ${token}`)).status,
    )
    expect(await Promise.all(statuses)).to.deep.equal([401, 404, 404])
  })

  it('asks for a token where there is none: 401', async () => {
    for (const authorization of [undefined, 'Basic Zmlyc3QtdG9rZW4=', 'Bearer', 'Bearer two tokens']) {
      const answer = await ask('/api/v1/detect', authorization, 'POST')
      expect(answer).to.include({ status: 401, challenge: 'Bearer realm="anomaly"' })
      expect(JSON.parse(answer.text)).to.include({ status: 401, reason: 'Unauthorized' })
    }
  })

  it('refuses a token that it does not know, or knows only in part: 401', async () => {
    for (const token of ['third-token', 'first', 'first-tokens', 'FIRST-TOKEN']) {
      const { status, challenge } = await ask('/api/v1/results/none', `Bearer ${token}`)
      expect([status, challenge]).to.deep.equal([401, 'Bearer realm="anomaly", error="invalid_token"'])
    }
  })

  it('guards every route with verdicts and leaves health, metrics and the description open', async () => {
    const status = async (path: string, method?: string) => (await ask(path, undefined, method)).status
    expect(await status('/api/v1/detect/batch', 'POST')).to.equal(401)
    expect(await status('/api/v1/results/none')).to.equal(401)
    expect(await status('/api/v1/stream')).to.equal(401)
    for (const path of ['/api/v1/health', '/actuator/health', '/actuator/prometheus', '/openapi.json'])
      expect(await status(path), path).to.equal(200)
    expect(JSON.parse((await ask('/openapi.json')).text).security).to.deep.equal([{ bearer: [] }])
  })
})
