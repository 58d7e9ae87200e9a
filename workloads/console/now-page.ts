import { html } from 'htm/preact'
import type { Episode } from '../detection/episode.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { Lane } from '../history/history.ts'
import type { Overview } from '../rest/overview.ts'
import { counted, formatNumber, formatScore, formatTime } from '../terminal/wording.ts'
import { useAsked } from './api.ts'
import { ago, alertsOver, detailsInWords, nameOf, reasonsInWords } from './format.ts'
import { type Place, urlOf } from './place.ts'

/** Times of the earliest and of the latest event that are kept. */
export type Present = Overview & {
  readonly since: number
  readonly now: number
  /** Whether what was judged before can be asked for. */
  readonly keepsHistory: boolean
}

export interface NowProps {
  readonly place: Place
  readonly present: Present
  /** The latest alerts as they came, latest first. */
  readonly alerts: readonly Verdict[]
  readonly everyMs: number
}

const lanesAtOnce = 10
const buckets = 60

export function NowPage({ place, present, alerts, everyMs }: NowProps) {
  const { now, keepsHistory } = present
  const open = useAsked<{ readonly episodes: readonly Episode[]; readonly next: string | null }>(
    keepsHistory ? 'episodes?state=Open&limit=20' : undefined,
    everyMs,
  )
  // By the minute, so that the question stays the same for a while.
  const to = Math.ceil((now + 1) / 60_000) * 60_000
  const from =
    place.hours === 0 ? Math.floor(present.since / 60_000) * 60_000 : Math.max(0, to - place.hours * 3_600_000)
  const lanes = useAsked<{ readonly keys: readonly Lane[] }>(
    keepsHistory
      ? `keys?from=${from}&to=${to}&buckets=${buckets}&limit=${lanesAtOnce + 1}&offset=${place.offset}`
      : undefined,
    everyMs,
  )
  return html`
    <${Figures} present=${present} />
    ${
      keepsHistory
        ? html`<section aria-labelledby="open">
              <h2 id="open">Open episodes</h2>
              <${OpenEpisodes} episodes=${open.answer?.episodes} all=${present.openEpisodes} now=${now} />
            </section>
            <section aria-labelledby="lanes">
              <h2 id="lanes">Keys that alerted, most alerts first</h2>
              <${Lanes} lanes=${lanes.answer?.keys} place=${place} />
            </section>`
        : html`<${NoHistory} />`
    }
    <section aria-labelledby="latest">
      <h2 id="latest">Latest alerts</h2>
      ${
        alerts.length === 0
          ? html`<p class="empty">None since this page was opened. An alert appears here as it happens.</p>`
          : html`<ol class="alerts" aria-live="polite">
              ${alerts.map(
                (verdict) => html`<li key=${verdict.eventId}>
                  <time>${formatTime(verdict.timestamp)}</time>
                  <a href=${urlOf({ page: 'key', id: verdict.userId })}>${verdict.userId || '(no key)'}</a>
                  <span class="score">${formatScore(verdict.anomalyScore)}</span>
                  <span class="why">${reasonsInWords(verdict.reasons)}</span>
                </li>`,
              )}
            </ol>`
      }
    </section>
  `
}

/** In the place of what only a history could show. */
export function NoHistory() {
  return html`<p class="empty">The past is not kept here. To see episodes and keys over time, set spec.history.postgres of the pipeline; in one process, --history-db.</p>`
}

function Figures({ present }: { readonly present: Present }) {
  const { lastHour, budgetPerMillion, eventsPerSecond, latencyMs, waiting, openEpisodes, health } = present
  const got = lastHour.events === 0 ? 0 : (lastHour.alerts / lastHour.events) * 1e6
  const amiss = Object.entries(health.components).filter(([, { status }]) => status !== 'UP')
  return html`
    ${amiss.map(([name, { details }]) => html`<p class="notice" role="alert">${name} is down ${detailsInWords(details)}</p>`)}
    <dl class="figures">
      <div><dt>Open episodes</dt><dd>${formatNumber(openEpisodes)}</dd><dd class="aside">${counted(lastHour.episodes, 'episode')} in the last hour</dd></div>
      <div>
        <dt>Alert budget</dt>
        <dd>${formatNumber(Math.round(got))}</dd>
        <dd class="aside">${budgetPerMillion === undefined ? 'per million, by a fixed threshold' : `of ${formatNumber(budgetPerMillion)} per million in the last hour`}</dd>
        ${budgetPerMillion !== undefined && html`<dd><meter aria-label="Alert budget used" min="0" max=${budgetPerMillion * 2} high=${budgetPerMillion} value=${got}></meter></dd>`}
      </div>
      <div><dt>Events</dt><dd>${formatNumber(Math.round(eventsPerSecond))}/s</dd><dd class="aside">${counted(lastHour.events, 'event')} in the last hour</dd></div>
      <div><dt>Latency</dt><dd>${latencyMs === undefined ? '–' : `${formatNumber(latencyMs.p95)} ms`}</dd><dd class="aside">95 % of batches, record to verdict</dd></div>
      <div><dt>Waiting</dt><dd>${formatNumber(waiting)}</dd><dd class="aside">${formatNumber(lastHour.rejected)} refused in the last hour</dd></div>
    </dl>`
}

interface OpenProps {
  readonly episodes: readonly Episode[] | undefined
  readonly all: number
  readonly now: number
}

function OpenEpisodes({ episodes, all, now }: OpenProps) {
  if (episodes === undefined) return html`<p class="empty">…</p>`
  if (episodes.length === 0) return html`<p class="empty">None. Nothing unusual goes on.</p>`
  return html`<ul class="cards">
      ${episodes.map(
        (episode) => html`<li key=${episode.episodeId}>
          <a href=${urlOf({ page: 'episode', id: episode.episodeId })}>${nameOf(episode)}</a>
          <p class="why">${reasonsInWords(episode.reasons, 3)}</p>
          <p class="aside">
            ${alertsOver(episode)}, last ${ago(episode.lastTimestamp, now)}, peak
            ${' '}<span class="score">${formatScore(episode.peakScore)}</span>
          </p>
        </li>`,
      )}
    </ul>
    ${all > episodes.length && html`<p class="aside">and ${formatNumber(all - episodes.length)} more</p>`}`
}

function Lanes({ lanes, place }: { readonly lanes: readonly Lane[] | undefined; readonly place: Place }) {
  if (lanes === undefined) return html`<p class="empty">…</p>`
  if (lanes.length === 0) return html`<p class="empty">No alert in this time.</p>`
  const { hours, offset } = place
  return html`<table class="lanes">
      <thead><tr><th scope="col">Key</th><th scope="col" class="number">Alerts</th><th scope="col">When</th></tr></thead>
      <tbody>
        ${lanes.slice(0, lanesAtOnce).map(
          ({ key, alerts, scores }) => html`<tr key=${key}>
            <th scope="row"><a href=${urlOf({ page: 'key', id: key, hours })}>${key || '(no key)'}</a></th>
            <td class="number">${formatNumber(alerts)}</td>
            <td><${LaneStrip} scores=${scores} /></td>
          </tr>`,
        )}
      </tbody>
    </table>
    <nav class="paging" aria-label="Keys">
      ${offset > 0 && html`<a href=${urlOf({ page: 'now', hours, offset: Math.max(0, offset - lanesAtOnce) })}>← worse</a>`}
      ${lanes.length > lanesAtOnce && html`<a href=${urlOf({ page: 'now', hours, offset: offset + lanesAtOnce })}>next ${lanesAtOnce} →</a>`}
    </nav>`
}

function LaneStrip({ scores }: { readonly scores: readonly number[] }) {
  const height = (score: number) => Math.min(20, 6 + 2.5 * -Math.log10(Math.max(1e-6, 1 - score)))
  const hit = scores.filter((score) => score > 0).length
  return html`<svg class="lane" viewBox=${`0 0 ${scores.length * 5} 20`} preserveAspectRatio="none" role="img" aria-label=${`alerts in ${hit} of ${scores.length} stretches of the time`}>
    ${scores.map(
      (score, i) => score > 0 && html`<rect x=${i * 5} y=${20 - height(score)} width="4" height=${height(score)} />`,
    )}
  </svg>`
}
