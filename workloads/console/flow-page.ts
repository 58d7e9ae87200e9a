import { html } from 'htm/preact'
import { counted, formatNumber } from '../terminal/wording.ts'
import { ago, detailsInWords } from './format.ts'
import type { Present } from './now-page.ts'

/** The way of events through the pipeline, with rates, and what falls out of it. */
export function FlowPage({ present }: { readonly present: Present }) {
  const { source, results, eventsPerSecond, waiting, latencyMs, keys, lastHour, rejected, health, processes } = present
  const { modelVersion, modelFitTime } = present
  const perHour = (count: number) => `${formatNumber(count)} in the last hour`
  return html`
    <h1>Flow</h1>
    <ol class="flow">
      <li><h2>${source}</h2><p>${formatNumber(Math.round(eventsPerSecond))} events/s</p><p class="aside">${counted(waiting, 'event')} waiting</p></li>
      <li><h2>Judging</h2><p>${latencyMs === undefined ? '–' : `${formatNumber(latencyMs.median)} ms, 95 % within ${formatNumber(latencyMs.p95)} ms`}</p><p class="aside">${counted(keys, 'key')} in memory</p></li>
      <li><h2>Model</h2><p>${modelVersion || 'none'}</p><p class="aside">${modelVersion === 'LEARNING' ? 'the first is learning' : 'decides with the profiles'}${modelFitTime === undefined ? '' : `, fitted ${ago(Date.parse(modelFitTime), Date.now())}`}</p></li>
      <li><h2>${results}</h2><p>${counted(lastHour.alerts, 'alert')}, ${counted(lastHour.episodes, 'episode')}</p><p class="aside">of ${perHour(lastHour.events)}</p></li>
    </ol>
    <section aria-labelledby="parts"><h2 id="parts">Parts</h2>
      <ul class="parts">${Object.entries(health.components).map(
        ([name, { status, details }]) =>
          html`<li class=${status === 'UP' ? 'up' : 'down'}><strong>${name}</strong> ${status === 'UP' ? 'is up' : 'is down'} <span class="aside">${detailsInWords(details)}</span></li>`,
      )}</ul>
      ${processes !== undefined && html`<p class="aside">${processesInWords(processes)}</p>`}
    </section>
    <section aria-labelledby="refused"><h2 id="refused">Events that could not be read</h2>
      ${
        rejected.length === 0
          ? html`<p class="empty">None.</p>`
          : html`<table class="rows"><thead><tr><th scope="col">Reason</th><th scope="col">Events</th><th scope="col">The last one</th></tr></thead>
              <tbody>${rejected.map(
                ({ reason, count, message, example }) => html`<tr key=${reason}>
                  <th scope="row">${reason}</th><td class="number">${formatNumber(count)}</td>
                  <td>${
                    example === undefined
                      ? html`<p class="aside">in the topic of dead letters</p>`
                      : html`<p>${message}</p><pre tabindex="0" aria-label=${`Example of ${reason}`}>${example}</pre>`
                  }</td>
                </tr>`,
              )}</tbody></table>`
      }
    </section>`
}

function processesInWords(processes: Readonly<Record<string, number>>): string {
  const roles = Object.entries(processes).map(([role, count]) => `${role} ${formatNumber(count)}`)
  return `Processes that answer: ${roles.length === 0 ? 'none' : roles.join(', ')}`
}
