import { html } from 'htm/preact'
import type { Episode } from '../detection/episode.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { SeriesPoint } from '../history/history.ts'
import { formatDuration, formatNumber, formatScore, formatTime } from '../terminal/wording.ts'
import { useAsked } from './api.ts'
import { SeriesChart } from './chart.ts'
import { alertsOver, nameOf, reasonsInWords } from './format.ts'
import type { Present } from './now-page.ts'
import { type Place, urlOf } from './place.ts'
import { EventTable, RawEvent } from './raw-event.ts'

export interface KeyProps {
  readonly place: Place
  readonly present: Present
  readonly everyMs: number
}

export function KeyPage({ place, present, everyMs }: KeyProps) {
  const { id: key, hours } = place
  const path = encodeURIComponent(key)
  const from = hours === 0 ? 0 : Math.max(0, Math.floor((present.now - hours * 3_600_000) / 60_000) * 60_000)
  const { answer, error } = useAsked<{ readonly points: readonly SeriesPoint[] }>(
    key === '' ? undefined : `keys/${path}/series?from=${from}&points=500`,
    everyMs,
  )
  const events = useAsked<{ readonly results: readonly Verdict[] }>(
    key === '' ? undefined : `results?key=${path}&from=${from}&limit=20`,
    everyMs,
  )
  const episodes = useAsked<{ readonly episodes: readonly Episode[] }>(`episodes?key=${path}&limit=50`, everyMs)
  if (error !== undefined && answer === undefined) return html`<p class="notice" role="alert">${error.message}</p>`
  return html`
    <h1>${key === '' ? 'No key chosen' : key}</h1>
    ${answer !== undefined && html`<${Profile} points=${answer.points} />`}
    ${
      answer === undefined
        ? html`<p class="empty">${key === '' ? 'Choose one among those that alerted, on the page Now.' : '…'}</p>`
        : answer.points.length === 0
          ? html`<p class="empty">Nothing of this key in this time.</p>`
          : html`<${SeriesChart} points=${answer.points} label=${`Values of ${key}`} />`
    }
    ${place.event !== '' && html`<${RawEvent} eventId=${place.event} title=${`The event ${place.event}`} isChosen />`}
    ${
      key !== '' &&
      html`<section aria-labelledby="events">
        <h2 id="events">Its latest events</h2>
        <${EventTable} events=${events.answer?.results} place=${place} />
      </section>`
    }
    <section aria-labelledby="episodes">
      <h2 id="episodes">Its episodes</h2>
      <${EpisodeTable} episodes=${episodes.answer?.episodes} />
    </section>`
}

/** What the key is like, by what is drawn of it. */
function Profile({ points }: { readonly points: readonly SeriesPoint[] }) {
  const events = points.reduce((sum, point) => sum + point.events, 0)
  const alerts = points.reduce((sum, point) => sum + point.alerts, 0)
  const values = points.flatMap(({ value }) => (value === null ? [] : [value])).sort((a, b) => a - b)
  const [first, last] = [points[0], points.at(-1)]
  if (first === undefined || last === undefined) return null
  const at = (share: number) => formatNumber(values[Math.floor(share * (values.length - 1))] ?? Number.NaN)
  const interval = events > 1 ? formatDuration((last.time - first.time) / 1000 / (events - 1)) : '–'
  return html`<dl class="figures">
    <div><dt>Events</dt><dd>${formatNumber(events)}</dd><dd class="aside">one in ${interval}</dd></div>
    <div><dt>Value</dt><dd>${at(0.5)}</dd><dd class="aside">median; 9 of 10 between ${at(0.05)} and ${at(0.95)}</dd></div>
    <div><dt>Alerts</dt><dd>${formatNumber(alerts)}</dd><dd class="aside">in this time</dd></div>
  </dl>`
}

interface EpisodeTableProps {
  readonly episodes: readonly Episode[] | undefined
  /** Whether each row says whose episode it is. */
  readonly named?: boolean
}

export function EpisodeTable({ episodes, named = false }: EpisodeTableProps) {
  if (episodes === undefined) return html`<p class="empty">…</p>`
  if (episodes.length === 0) return html`<p class="empty">None.</p>`
  return html`<table class="rows">
    <thead><tr><th scope="col">Began (UTC)</th>${named && html`<th scope="col">Key</th>`}<th scope="col">State</th><th scope="col">Alerts</th><th scope="col">Peak</th><th scope="col">Why</th></tr></thead>
    <tbody>
      ${episodes.map(
        (episode) => html`<tr key=${episode.episodeId}>
          <td><a href=${urlOf({ page: 'episode', id: episode.episodeId })}>${formatTime(episode.firstTimestamp)}</a></td>
          ${named && html`<td>${nameOf(episode)}</td>`}
          <td>${episode.state === 'Open' ? html`<strong>open</strong>` : episode.partOf === undefined ? 'closed' : 'part of one of the stream'}</td>
          <td>${alertsOver(episode)}</td>
          <td class="score">${formatScore(episode.peakScore)}</td>
          <td class="why">${reasonsInWords(episode.reasons)}</td>
        </tr>`,
      )}
    </tbody>
  </table>`
}
