import { join } from 'node:path'
import { expect } from 'chai'
import type { Browser } from 'playwright-core'
import { Registry } from 'prom-client'
import type { HttpPart } from '../../lib/http-part.ts'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { temporaryFolder } from '../../workloads/files/temporary-folder.ts'
import type { History } from '../../workloads/history/history.ts'
import { openSqliteHistory } from '../../workloads/history/sqlite-history.ts'
import { createApp } from '../../workloads/rest/app.ts'
import { knownTokens } from '../../workloads/rest/bearer-auth.ts'
import { createLiveEvents } from '../../workloads/rest/live-events.ts'
import { createOidc, type OidcOptions } from '../../workloads/rest/oidc.ts'
import type { Overview } from '../../workloads/rest/overview.ts'
import { createApiServer } from '../../workloads/rest/server.ts'
import { createStubDoor } from '../../workloads/rest/stub-door.ts'
import { openPage, startBrowser, violationsOf } from '../harness/browser.ts'
import { clientId, type OidcIssuer, startOidcIssuer } from '../harness/oidc-issuer.ts'

const patience = { timeout: 30_000 }
const { event } = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'payments' },
  spec: { source: { brokers: ['localhost:9092'] } },
}).spec
const door = createStubDoor(event)
const overview = (): Overview => {
  return {
    ...{ pipeline: 'payments', source: 'events', results: 'results', refractorySeconds: 300, openEpisodes: 0 },
    ...{ lastHour: { events: 0, alerts: 0, episodes: 0, rejected: 0 }, takesFeedback: false, keys: 0 },
    ...{ modelVersion: 'NONE', eventsPerSecond: 0, waiting: 0, rejected: [], health: door.health() },
  }
}

describe('Signing in to the console', () => {
  const folder = temporaryFolder()
  let browser: Browser
  let issuer: OidcIssuer
  let history: History
  let server: HttpPart
  let url: string
  /** What the first test was given. */
  let bare = ''

  async function serve(options: OidcOptions): Promise<HttpPart> {
    const log = await createLogger({ level: 'silent' })
    const { guard, signIn } = createOidc(options)
    const more = { registry: new Registry(), event, live: createLiveEvents(), history, overview }
    const served = createApiServer(createApp(door, { log, ...more, authenticate: guard, signIn }), { port: 0 })
    await served.start!(new AbortController().signal)
    return served
  }

  before(async () => {
    browser = await startBrowser()
    issuer = await startOidcIssuer()
    history = openSqliteHistory(join(folder.path, 'history.db'))
    server = await serve({ issuer: issuer.issuer, clientId, isKnown: knownTokens(() => ['program']) })
    url = `http://localhost:${server.port}`
    issuer.allow(`${url}/`)
  })
  after(async () => {
    await browser?.close()
    await server?.stop?.()
    await history?.close()
    await issuer?.stop()
    folder.remove()
  })

  const statusWith = async (token: string, at = url) =>
    (await fetch(`${at}/api/v1/episodes`, { headers: { Authorization: `Bearer ${token}` } })).status

  it('leads to the issuer and back to the page, by code and proof key; the token is in no storage', async () => {
    const { page, complaints } = await openPage(browser, `${url}/?page=flow`)
    let token = ''
    page.on('request', (request) => {
      if (request.url().includes('/api/v1/overview')) token = request.headers().authorization ?? token
    })
    const button = page.getByRole('button', { name: 'Sign in' })
    await button.waitFor(patience)
    expect(await violationsOf(page)).to.deep.equal([])
    await button.click()
    await page.locator('[name=login]').fill('ada', patience)
    await page.locator('[name=password]').fill('anything')
    await page.locator('[type=submit]').click()
    await page.getByRole('button', { name: 'Continue' }).click(patience)
    await page.getByRole('heading', { name: 'Flow' }).waitFor(patience)
    expect(new URL(page.url()).search).to.equal('?page=flow')
    expect(
      await page.evaluate('JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie])'),
    ).to.equal('[{},{},""]')
    bare = token.replace('Bearer ', '')
    expect(bare.split('.')).to.have.length(3)
    expect(await statusWith(bare)).to.equal(200)
    const [head, body, signature] = bare.split('.') as [string, string, string]
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as object
    const other = Buffer.from(JSON.stringify({ ...claims, sub: 'eve' })).toString('base64url')
    const unsigned = Buffer.from('{"alg":"none"}').toString('base64url')
    expect(await statusWith(`${head}.${other}.${signature}`)).to.equal(401)
    expect(await statusWith(`${unsigned}.${body}.`)).to.equal(401)
    expect(await statusWith('nonsense')).to.equal(401)
    expect(complaints).to.deep.equal([])
    await page.context().close()
  })

  it('says what the issuer refused, and lets one try again', async () => {
    const { page } = await openPage(browser, `${url}/?page=flow`)
    await page.getByRole('button', { name: 'Sign in' }).click(patience)
    await page.getByText('Cancel').click(patience)
    await page.getByRole('alert').filter({ hasText: 'Signing in failed' }).waitFor(patience)
    await page.getByRole('button', { name: 'Sign in' }).waitFor(patience)
    await page.context().close()
  })

  it('takes the tokens of programs beside, and refuses those of others', async () => {
    expect(await statusWith('program')).to.equal(200)
    const other = await serve({ issuer: issuer.issuer, clientId: 'another' })
    const both = await serve({ issuer: issuer.issuer, clientId: 'another', audiences: [clientId] })
    try {
      expect(await statusWith(bare, `http://localhost:${other.port}`)).to.equal(401)
      expect(await statusWith('program', `http://localhost:${other.port}`)).to.equal(401)
      expect(await statusWith(bare, `http://localhost:${both.port}`)).to.equal(200)
    } finally {
      await other.stop!()
      await both.stop!()
    }
  })

  it('answers 503 while the issuer is away, and the page says so', async () => {
    const lonely = await serve({ issuer: 'http://localhost:1', clientId })
    try {
      const address = `http://localhost:${lonely.port}`
      const { status } = await fetch(`${address}/api/v1/episodes`, { headers: { Authorization: 'Bearer a.b.c' } })
      expect(status).to.equal(503)
      const { page } = await openPage(browser, address)
      await page.getByText('The issuer of tokens does not answer the server.').waitFor(patience)
      await page.context().close()
    } finally {
      await lonely.stop!()
    }
  })
})
