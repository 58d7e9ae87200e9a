import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Express, RequestHandler } from 'express'
import { send, sendJson } from './respond.ts'
import type { SignIn } from './sign-in.ts'

/** What the browser begins with. */
const entry = fileURLToPath(new URL('../console/console.ts', import.meta.url))
const workloads = join(dirname(entry), '..')
const packageFolder = join(workloads, '../node_modules')
/** What the browser loads of this house: all of it is served below one path, as it lies here. */
const modules = [
  ...['console/console', 'console/api', 'console/chart', 'console/format', 'console/place', 'terminal/wording'],
  ...['console/now-page', 'console/key-page', 'console/episode-page', 'console/flow-page', 'console/raw-event'],
  ...['console/what-if-page', 'console/usual-range', 'console/yaml-offer', 'console/sign-in'],
]
/** What the browser's modules import by name, and which file of the package that is. */
const packages = {
  preact: 'preact/dist/preact.mjs',
  'preact/hooks': 'preact/hooks/dist/hooks.mjs',
  htm: 'htm/dist/htm.mjs',
  'htm/preact': 'htm/preact/index.mjs',
  uplot: 'uplot/dist/uPlot.esm.js',
} as const

const javascript = 'text/javascript; charset=utf-8'
const css = 'text/css; charset=utf-8'
const pathOf = (name: string): string => `/app/packages/${name.replace('/', '-')}.js`
const importMap = JSON.stringify({
  imports: Object.fromEntries(Object.keys(packages).map((name) => [name, pathOf(name)])),
})

/** Nothing comes from elsewhere but the token, where an issuer gives it; nothing is written into the page but by the scripts that are served here. */
const policyWith = (origins: readonly string[]): string =>
  [
    "default-src 'none'",
    `script-src 'self' 'sha256-${createHash('sha256').update(importMap).digest('base64')}'`,
    ...["style-src 'self'", `connect-src ${["'self'", ...origins].join(' ')}`, 'img-src data:', "base-uri 'none'"],
    ...["form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"],
  ].join('; ')

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Anomaly</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/app/uplot.css">
<link rel="stylesheet" href="/app/style.css">
<script type="importmap">${importMap}</script>
<script type="module" src="/app/console/console.ts"></script>
</head>
<body><noscript>The console needs JavaScript.</noscript></body>
</html>
`

/** The console: a page and its modules, TypeScript without its types. The page holds nothing that is secret: what it shows it asks the API for. */
export function addConsoleRoutes(
  app: Express,
  allowOnly: (...methods: string[]) => RequestHandler,
  signIn: (() => Promise<SignIn>) | undefined,
): void {
  const serve = (path: string, type: string, read: () => string) => {
    let text: string | undefined
    app
      .route(path)
      .get((_, response) => {
        text ??= read()
        response.setHeader('X-Content-Type-Options', 'nosniff')
        response.setHeader('Cache-Control', 'no-cache')
        send(response, 200, type, text)
      })
      .all(allowOnly('GET', 'HEAD'))
  }
  const inPackage = (file: string): string => readFileSync(join(packageFolder, file), 'utf8')
  app
    .route('/')
    .get(async (_, response) => {
      // Where the issuer does not answer, the page says so when it asks how to sign in.
      const issuer = await signIn?.().catch(() => undefined)
      const origins = issuer === undefined ? [] : [new URL(issuer.tokenEndpoint).origin]
      response.setHeader('Content-Security-Policy', policyWith(origins))
      response.setHeader('Referrer-Policy', 'no-referrer')
      response.setHeader('Cache-Control', 'no-cache')
      send(response, 200, 'text/html; charset=utf-8', page)
    })
    .all(allowOnly('GET', 'HEAD'))
  if (signIn !== undefined)
    app
      .route('/app/sign-in.json')
      .get(async (_, response) => sendJson(response, 200, JSON.stringify(await signIn())))
      .all(allowOnly('GET', 'HEAD'))
  serve('/app/style.css', css, () => readFileSync(join(workloads, 'console/style.css'), 'utf8'))
  serve('/app/uplot.css', css, () => inPackage('uplot/dist/uPlot.min.css'))
  for (const name of modules)
    serve(`/app/${name}.ts`, javascript, () =>
      stripTypeScriptTypes(readFileSync(join(workloads, `${name}.ts`), 'utf8')),
    )
  for (const [name, file] of Object.entries(packages)) serve(pathOf(name), javascript, () => inPackage(file))
}
