import { expect } from 'chai'
import { Registry } from 'prom-client'
import type { HttpPart } from '../../lib/http-part.ts'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { History } from '../history/history.ts'
import { createApp } from './app.ts'
import { bearerAuth } from './bearer-auth.ts'
import { createLiveEvents } from './live-events.ts'
import { type Overview, planIn } from './overview.ts'
import { createApiServer } from './server.ts'
import { createStubDoor } from './stub-door.ts'

const pipeline = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'payments' },
  spec: { source: { brokers: ['kafka:9092'] }, detection: { alertBudgetPerMillion: 500 } },
})
const overview: Overview = {
  ...planIn(pipeline),
  lastHour: { events: 1, alerts: 0, episodes: 0, rejected: 0 },
  ...{ openEpisodes: 0, takesFeedback: false, keys: 1, modelVersion: 'NONE', waiting: 0 },
  ...{ eventsPerSecond: 2, rejected: [] },
  health: { status: 'UP', components: {} },
}

describe('The overview', () => {
  let server: HttpPart
  before(async () => {
    const { event } = pipeline.spec
    const app = createApp(createStubDoor(event), {
      log: await createLogger({ level: 'silent' }),
      registry: new Registry(),
      event,
      live: createLiveEvents(),
      overview: async () => overview,
      authenticate: bearerAuth(() => ['secret']),
    })
    server = createApiServer(app, { port: 0, host: '127.0.0.1' })
    await server.start!(new AbortController().signal)
  })
  after(() => server.stop!())
  const ask = (path: string, headers = {}) => fetch(`http://127.0.0.1:${server.port}${path}`, { headers })

  it('is answered without a history, to who has a token, and says that there is none', async () => {
    expect((await ask('/api/v1/overview')).status).to.equal(401)
    const before = Date.now()
    const answer = await ask('/api/v1/overview', { Authorization: 'Bearer secret' })
    const { since, now, ...rest } = (await answer.json()) as { since: number; now: number }
    expect(rest).to.deep.equal({ ...overview, budgetPerMillion: 500, keepsHistory: false })
    expect(since).to.be.at.least(before)
    expect(now).to.be.at.least(since)
  })

  it('is answered while the history is away, and says that it is', async () => {
    const { event } = pipeline.spec
    const history = { span: () => Promise.reject(new Error('no connection to anomaly at db:5432')) }
    const app = createApp(createStubDoor(event), {
      log: await createLogger({ level: 'silent' }),
      registry: new Registry(),
      event,
      live: createLiveEvents(),
      overview: () => overview,
      history: history as unknown as History,
    })
    const other = createApiServer(app, { port: 0, host: '127.0.0.1' })
    await other.start!(new AbortController().signal)
    const answer = await fetch(`http://127.0.0.1:${other.port}/api/v1/overview`)
    const { keepsHistory, health } = (await answer.json()) as { keepsHistory: boolean; health: object }
    await other.stop!()
    expect(keepsHistory).to.equal(true)
    expect(health).to.deep.equal({
      status: 'DEGRADED',
      components: { history: { status: 'DOWN', details: { problem: 'no connection to anomaly at db:5432' } } },
    })
  })

  it('has a console that shows it, which anybody may open', async () => {
    const page = await ask('/')
    expect([page.status, page.headers.get('content-type')]).to.deep.equal([200, 'text/html; charset=utf-8'])
    expect((await ask('/api/v1/results')).status).to.equal(404)
  })
})
