import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import axe from 'axe-core'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { requireCommands } from '../../tools/servers/server.ts'

export interface OpenPage {
  readonly page: Page
  /** What the browser complained of: errors of scripts, and of the policy. Requests that found nobody are not among them. */
  readonly complaints: readonly string[]
  /** Where requests went. */
  readonly origins: ReadonlySet<string>
}

/** The distribution's Chromium, without a window. */
export async function startBrowser(): Promise<Browser> {
  await requireCommands({ chromium: 'chromium' })
  const folders = (process.env.PATH ?? '').split(delimiter)
  const executablePath = folders.map((folder) => join(folder, 'chromium')).find((path) => existsSync(path))!
  // Its sandbox does not work as root.
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })
}

export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<OpenPage> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options })
  const page = await context.newPage()
  const complaints: string[] = []
  const origins = new Set<string>()
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) complaints.push(message.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith('data:')) origins.add(new URL(request.url()).origin)
  })
  await page.goto(url)
  return { page, complaints, origins }
}

interface Violation {
  readonly id: string
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[]
}

/** What axe finds wrong with the page, a line each. */
export async function violationsOf(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source)
  const violations = (await page.evaluate('axe.run().then(({ violations }) => violations)')) as readonly Violation[]
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary = '' }) => `${id}: ${html} ${failureSummary}`),
  )
}
