import { createHash } from 'node:crypto'
import { hoverScript } from './hover-script.ts'
import { html, type Markup, trusted } from './html.ts'
import { pageStyle } from './page-style.ts'

export interface Page {
  readonly title: string
  /** What kind of report it is. */
  readonly kind: string
  readonly heading: string
  /** Of the input, in a few words each. */
  readonly facts: readonly string[]
  readonly main: Markup
  readonly footer: readonly string[]
}

/** One HTML file that needs nothing else: style, charts and script are inside, and its own policy lets nothing in. */
export function page({ title, kind, heading, facts, main, footer }: Page): string {
  const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hashOf(hoverScript)}'`
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${title}</title>
<style>${trusted(pageStyle)}</style>
</head>
<body>
<header>
<p class="kind">${kind}</p>
<h1>${heading}</h1>
<p class="facts">${facts.map((fact) => html`<span>${fact}</span>`)}</p>
</header>
<main>
${main}
</main>
<footer>${footer.map((text) => html`<span>${text}</span>`)}</footer>
<script>${trusted(hoverScript)}</script>
</body>
</html>
`.markup
}

export function section(title: string, content: Markup): Markup {
  return html`<section>
<h2>${title}</h2>
${content}
</section>`
}

function hashOf(script: string): string {
  return createHash('sha256').update(script).digest('base64')
}
