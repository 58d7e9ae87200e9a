/** Text that is markup already. Only this file makes it; whatever else reaches a template is escaped. */
export interface Markup {
  readonly markup: string
}

export type Insert = string | number | Markup | undefined | readonly Insert[]

/** Builds markup: inserted text is escaped, inserted markup is not, lists are joined, undefined is nothing. */
export function html(strings: TemplateStringsArray, ...inserts: readonly Insert[]): Markup {
  let markup = strings[0]!
  for (const [i, insert] of inserts.entries()) markup += markupOf(insert) + strings[i + 1]!
  return { markup }
}

/** For text of this program only: nothing is escaped. */
export function trusted(markup: string): Markup {
  return { markup }
}

/** A value for a script to read, in an element that a browser does not run. */
export function jsonBlock(id: string, value: unknown): Markup {
  const json = JSON.stringify(value).replaceAll('<', '\\u003c')
  return html`<script type="application/json" id="${id}">${trusted(json)}</script>`
}

function markupOf(insert: Insert): string {
  if (insert === undefined) return ''
  if (typeof insert === 'number') return String(insert)
  if (typeof insert === 'string') return escapeHtml(insert)
  return 'markup' in insert ? insert.markup : insert.map(markupOf).join('')
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escapeHtml(text: string): string {
  return text
    .replace(/[&<>"']/g, (character) => entities[character]!)
    .replace(/[\p{Cc}\p{Cs}\u2028-\u202e\u2066-\u2069]/gu, '\u{fffd}')
}
