import { join } from 'node:path'
import { expect } from 'chai'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { parse } from 'yaml'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Verdict } from '../../workloads/detection/verdict.ts'
import { temporaryFolder } from '../../workloads/files/temporary-folder.ts'
import { openSqliteHistory } from '../../workloads/history/sqlite-history.ts'
import { run } from '../../workloads/local/run.ts'
import { verdictJson } from '../../workloads/wire/verdict-bytes.ts'
import { type OpenPage, openPage, startBrowser, violationsOf } from '../harness/browser.ts'

const pipeline = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'payments' },
  spec: {
    source: { brokers: ['localhost:9092'] },
    detection: {
      alertBudgetPerMillion: 1000,
      feedback: { authentication: 'None' },
      rules: [{ name: 'limit', field: 'value', above: '100' }],
    },
  },
})
const log = await createLogger({ level: 'silent' })
const start = Date.UTC(2024, 0, 1)
const patience = { timeout: 30_000 }

interface Served {
  readonly url: string
  readonly port: number
  detect(events: readonly object[]): Promise<void>
  stop(): Promise<void>
}

async function serve(database: string | undefined, port = 0): Promise<Served> {
  const stop = new AbortController()
  const started = Promise.withResolvers<number>()
  const ended = run({
    pipeline,
    log,
    port,
    probesPort: undefined,
    seed: 1,
    exitAtEnd: false,
    kept: database === undefined ? undefined : openSqliteHistory(database),
    stop,
    onStarted: ({ api }) => started.resolve(api!),
  })
  ended.catch(started.reject)
  const bound = await started.promise
  const url = `http://localhost:${bound}`
  return {
    url,
    port: bound,
    async detect(events) {
      const response = await fetch(`${url}/api/v1/detect/batch`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/x-ndjson' },
        body: events.map((event) => JSON.stringify(event)).join('\n'),
      })
      expect(response.status).to.equal(200)
      await response.text()
    },
    async stop() {
      stop.abort()
      await ended
    },
  }
}

const eventOf = (i: number, value: number, userId = `user-${i % 5}`) => {
  return { eventId: `e${i}`, timestamp: start + 60_000 * i, userId, value, features: { a: i % 7 } }
}
/** Five users, an alert of user-3, and one event that cannot be read. */
const events = [
  ...Array.from({ length: 300 }, (_, i) => eventOf(i, i === 298 ? 950 : 40 + (i % 9))),
  { eventId: 'bad', timestamp: 'yesterday', userId: 'user-1' },
]

describe('The console', () => {
  const folder = temporaryFolder()
  let browser: Browser
  let served: Served
  const opened: OpenPage[] = []
  let databases = 0
  const database = () => join(folder.path, `${databases++}.db`)

  before(async () => {
    browser = await startBrowser()
    served = await serve(database())
    await served.detect(events)
  })
  after(async () => {
    await browser?.close()
    await served?.stop()
    folder.remove()
  })
  afterEach(async () => {
    for (const { page, complaints, origins } of opened.splice(0)) {
      const { origin } = new URL(page.url())
      await page.context().close()
      expect(complaints).to.deep.equal([])
      expect([...origins]).to.deep.equal([origin])
    }
  })

  async function visit(path: string, { url }: { url: string } = served, options: BrowserContextOptions = {}) {
    const one = await openPage(browser, `${url}${path}`, options)
    opened.push(one)
    return one.page
  }
  const sees = (page: Page, text: string | RegExp) => page.getByText(text).first().waitFor(patience)
  const isLive = (page: Page) =>
    page
      .getByRole('status')
      .filter({ hasText: /^live$/ })
      .waitFor(patience)

  const pages = [
    ['Now', '/', 'user-3'],
    ['Key', '/?page=key&id=user-3', 'Its episodes'],
    ['Episode', '/?page=episode&id=e298', 'is above 100'],
    ['What if', '/?page=what-if&hours=0', 'Episodes that would come'],
    ['Flow', '/?page=flow', 'InvalidTime'],
  ] as const
  for (const [name, path, text] of pages) {
    for (const colorScheme of ['light', 'dark'] as const)
      it(`shows ${name}, in ${colorScheme}, and axe finds nothing wrong`, async () => {
        const page = await visit(path, served, { colorScheme })
        await sees(page, text)
        await isLive(page)
        expect(await page.getByRole('link', { name, exact: true }).getAttribute('aria-current')).to.equal('page')
        expect(await violationsOf(page)).to.deep.equal([])
      })

    it(`shows ${name} on a phone, not wider than it is`, async () => {
      const page = await visit(path, served, { viewport: { width: 390, height: 844 } })
      await sees(page, text)
      expect(await page.evaluate('document.documentElement.scrollWidth')).to.be.at.most(390)
    })
  }

  it('leads from an open episode to what happened, why, and a rule, by keyboard; and back', async () => {
    const page = await visit('/')
    const link = page.locator('.cards').getByRole('link', { name: 'user-3' })
    await link.waitFor(patience)
    await link.focus()
    await page.keyboard.press('Enter')
    await sees(page, 'The event with the highest score')
    expect(new URL(page.url()).search).to.equal('?page=episode&id=e298')
    await page
      .getByRole('figure', { name: /Values of user-3 around the episode: \d+ points, 1 alerts/ })
      .waitFor(patience)
    await sees(page, '"value": 950')
    await page.getByRole('button', { name: 'Make a rule of it' }).press('Enter')
    await sees(page, 'value-above')
    await page.getByRole('combobox', { name: 'Mute for' }).selectOption('7 days')
    await page.getByRole('button', { name: 'Mute it' }).press('Enter')
    const mute = await page.getByLabel('Mute', { exact: true }).textContent()
    const { detection } = parsePipeline({ ...pipeline, spec: { ...pipeline.spec, ...parse(mute!).spec } }).spec
    expect(detection.mutes).to.deep.equal([
      {
        keys: ['user-3'],
        reasons: ['value'],
        until: new Date(start + 60_000 * 299 + 7 * 86_400_000).toISOString().replace('.000Z', 'Z'),
      },
    ])
    await page.getByRole('button', { name: 'A false alarm' }).press('Enter')
    await sees(page, 'Said: a false alarm.')
    await page.getByRole('button', { name: 'Take back' }).press('Enter', patience)
    await sees(page, 'A false alarm, taken back')
    expect(await violationsOf(page)).to.deep.equal([])
    await page.goBack()
    await sees(page, 'Open episodes')
  })

  it('leads from a key to its events as they came, by keyboard, and keeps that in the URL', async () => {
    const page = await visit('/?page=key&id=user-3')
    await sees(page, 'Its latest events')
    await page.getByRole('link', { name: 'e298', exact: true }).press('Enter')
    await page.getByRole('heading', { name: 'The event e298' }).waitFor(patience)
    await sees(page, '"value": 950')
    expect(new URL(page.url()).search).to.equal('?page=key&id=user-3&event=e298')
    expect(await page.evaluate('document.activeElement.id')).to.equal('event')
    expect(await violationsOf(page)).to.deep.equal([])
    await page.getByRole('link', { name: 'e293', exact: true }).press('Enter')
    await sees(page, 'only those that stand out are')
    await page.goBack()
    await page.getByRole('heading', { name: 'The event e298' }).waitFor(patience)
  })

  it('tries another budget by a slider, from the keyboard, and keeps it in the URL', async () => {
    const page = await visit('/?page=what-if&hours=0')
    await sees(page, 'alertBudgetPerMillion: 1000')
    const slider = page.getByRole('slider', { name: 'Alerts per million events' })
    await slider.focus()
    await page.keyboard.press('End')
    await sees(page, 'alertBudgetPerMillion: 100000')
    expect(new URL(page.url()).searchParams.get('budget')).to.equal('100000')
    await sees(page, /among the 1 that were recorded/)
    await page.goBack()
    await sees(page, 'alertBudgetPerMillion: 1000')
    expect(await slider.getAttribute('aria-valuetext')).to.equal('1,000 per million')
  })

  it('shows an alert as it happens, on the page that is open', async () => {
    const other = await serve(database())
    try {
      const page = await visit('/', other)
      await isLive(page)
      await sees(page, 'None. Nothing unusual goes on.')
      await other.detect([eventOf(1, 777, 'user-new')])
      await page.getByRole('listitem').filter({ hasText: 'value 777 is above 100' }).first().waitFor(patience)
      await page.getByRole('link', { name: 'user-new' }).first().waitFor(patience)
    } finally {
      await other.stop()
    }
  })

  it('says of each page that there is nothing yet', async () => {
    const empty = await serve(database())
    try {
      for (const [path, text] of [
        ['/', 'No alert in this time.'],
        ['/?page=key&id=nobody', 'Nothing of this key in this time.'],
        ['/?page=key', 'Choose one among those that alerted'],
        ['/?page=episode&id=none', 'There is no episode "none"'],
        ['/?page=episode', 'Latest episodes'],
        ['/?page=what-if', 'Nothing was judged in this time.'],
        ['/?page=flow', 'None.'],
      ] as const) {
        const page = await visit(path, empty)
        await sees(page, text)
        expect(await violationsOf(page)).to.deep.equal([])
      }
    } finally {
      await empty.stop()
    }
  })

  it('says that it is disconnected, and goes on by itself when the server is back', async () => {
    const path = database()
    let other = await serve(path)
    const page = await visit('/', other)
    await isLive(page)
    await other.stop()
    await page.getByRole('status').filter({ hasText: 'disconnected' }).waitFor(patience)
    await sees(page, 'The server does not answer.')
    other = await serve(path, other.port)
    try {
      await isLive(page)
      await page.getByText('The server does not answer.').waitFor({ ...patience, state: 'detached' })
      await other.detect([eventOf(1, 888, 'user-back')])
      await page.getByRole('listitem').filter({ hasText: 'value 888 is above 100' }).first().waitFor(patience)
    } finally {
      await other.stop()
    }
  })

  it('stands still while it is paused', async () => {
    const other = await serve(database())
    try {
      const page = await visit('/', other)
      await isLive(page)
      await page.getByRole('button', { name: 'Pause' }).click()
      await page.getByRole('status').filter({ hasText: 'paused' }).waitFor(patience)
      expect(new URL(page.url()).search).to.equal('?paused=1')
      await page.getByRole('link', { name: 'Flow' }).click()
      await page.getByRole('link', { name: 'What if' }).click()
      expect(new URL(page.url()).search).to.equal('?page=what-if&paused=1')
      await page.goto(`${other.url}/?paused=1`)
      await page.getByRole('status').filter({ hasText: 'paused' }).waitFor(patience)
      await other.detect([eventOf(1, 999, 'user-later')])
      await page.getByRole('button', { name: 'Go on' }).click()
      await isLive(page)
      expect(new URL(page.url()).search).to.equal('')
      await sees(page, 'value 999 is above 100')
    } finally {
      await other.stop()
    }
  })

  it('shows the worst ten of 5,000 keys with 10,000 alerts, and pages on', async () => {
    const path = database()
    const history = openSqliteHistory(path)
    const judged = Array.from({ length: 10_000 }, (_, i) => {
      const verdict: Verdict = {
        eventId: `m${i}`,
        userId: `key-${String(i % 5000).padStart(4, '0')}`,
        timestamp: start + 1000 * i,
        isAnomaly: true,
        anomalyScore: 0.9995,
        threshold: 0.999,
        confidence: 1,
        modelVersion: 'NONE',
        reasons: [],
        scores: {},
      }
      return { verdict, json: verdictJson(verdict), value: i }
    })
    await history.record(judged, [])
    await history.close()
    const other = await serve(path)
    try {
      const page = await visit('/', other)
      await sees(page, 'key-0000')
      expect(await page.locator('.lanes tbody tr').count()).to.equal(10)
      await page.getByRole('link', { name: 'next 10 →' }).click()
      await sees(page, 'key-0010')
      expect(new URL(page.url()).searchParams.get('offset')).to.equal('10')
      await page.getByRole('link', { name: 'key-0010' }).click()
      await page.getByRole('figure', { name: 'Values of key-0010: 2 points, 2 alerts' }).waitFor(patience)
    } finally {
      await other.stop()
    }
  })

  it('shows the present without a history, and says what to set to see the past', async () => {
    const other = await serve(undefined)
    try {
      const page = await visit('/', other)
      await isLive(page)
      await sees(page, 'spec.history.postgres')
      await other.detect(events)
      await sees(page, '300 events in the last hour')
      await page.getByRole('link', { name: 'user-3' }).click()
      await sees(page, 'spec.history.postgres')
      await page.getByRole('link', { name: 'Flow' }).click()
      await sees(page, 'InvalidTime')
      expect(await violationsOf(page)).to.deep.equal([])
    } finally {
      await other.stop()
    }
  })
})
