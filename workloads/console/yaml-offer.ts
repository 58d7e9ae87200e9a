import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import type { Episode } from '../detection/episode.ts'
import type { Verdict } from '../detection/verdict.ts'

/** A limit that would have caught this, to put into the pipeline. */
export function MakeRule({ verdict }: { readonly verdict: Verdict }) {
  const [isShown, setShown] = useState(false)
  const reason = verdict.reasons.find(({ observed, category }) => observed !== null && category === undefined)
  if (reason === undefined) return null
  const side = (reason.observed ?? 0) > (reason.expected ?? 0) ? 'above' : 'below'
  const limit = reason.expected === null ? (reason.observed ?? 0) : ((reason.observed ?? 0) + reason.expected) / 2
  const name =
    reason.feature
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '') || 'limit'
  const yaml = `spec:\n  detection:\n    rules:\n      - {name: ${name}-${side}, field: ${JSON.stringify(reason.feature)}, ${side}: "${Number(limit.toPrecision(3))}"}\n`
  return html`<p><button type="button" aria-expanded=${isShown} onClick=${() => setShown(!isShown)}>Make a rule of it</button></p>
    ${isShown && html`<pre tabindex="0" aria-label="Rule">${yaml}</pre>`}`
}

const lengths = [
  [1, '1 hour'],
  [8, '8 hours'],
  [24, '1 day'],
  [168, '7 days'],
  [720, '30 days'],
] as const

/** What silences the like of the episode for a while, by the time of the events, to put into the pipeline. */
export function Mute({ episode, now }: { readonly episode: Episode; readonly now: number }) {
  const [isShown, setShown] = useState(false)
  const [hours, setHours] = useState(24)
  const until = new Date(Math.ceil(now / 60_000) * 60_000 + 3_600_000 * hours).toISOString().replace('.000Z', 'Z')
  const reason = episode.reasons[0]?.feature
  const ofReason = reason === undefined ? '' : `, reasons: [${JSON.stringify(reason)}]`
  const yaml = `spec:\n  detection:\n    mutes:\n      - {keys: [${JSON.stringify(episode.userId ?? '*')}]${ofReason}, until: "${until}"}\n`
  return html`<p class="choices">
      <label>Mute for <select value=${hours} onChange=${(event: Event) => setHours(Number((event.target as HTMLSelectElement).value))}>
        ${lengths.map(([length, name]) => html`<option value=${length}>${name}</option>`)}
      </select></label>
      <button type="button" aria-expanded=${isShown} onClick=${() => setShown(!isShown)}>Mute it</button>
    </p>
    ${isShown && html`<p>Put this into the pipeline's document. Events are judged all the same, and alert again from ${until} on.</p><pre tabindex="0" aria-label="Mute">${yaml}</pre>`}`
}
