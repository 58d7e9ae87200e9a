import { html } from 'htm/preact'
import { useMemo, useState } from 'preact/hooks'
import type { Episode } from '../detection/episode.ts'
import type { WhatIfAnswer } from '../detection/what-if.ts'
import { counted, formatNumber, formatScore, formatTime } from '../terminal/wording.ts'
import { useAsked } from './api.ts'
import { alertsOver, nameOf, reasonsInWords } from './format.ts'
import type { Present } from './now-page.ts'
import { goTo, type Place, urlOf } from './place.ts'

interface Named {
  readonly count: number
  readonly episodes: readonly Episode[]
}

type Answer = Omit<WhatIfAnswer, 'come' | 'go'> & { readonly come: Named; readonly go: Named; readonly yaml: string }

const budgets = [50, 100, 200, 300, 500, 1000, 2000, 3000, 5000, 10_000, 20_000, 50_000, 100_000]
const stepMs = 600_000
const dayMs = 86_400_000

/** What another alert budget would have made of the time that is looked at. */
export function WhatIfPage({ place, present }: { readonly place: Place; readonly present: Present }) {
  const { now, since, budgetPerMillion } = present
  const budget = place.budget === 0 ? (budgetPerMillion ?? 1000) : place.budget
  // The question stays the same while the page is open: answering it takes a second, and time goes on meanwhile.
  const to = useMemo(() => Math.ceil((now + 1) / stepMs) * stepMs, [place.hours, budget])
  const from = place.hours === 0 ? Math.floor(since / stepMs) * stepMs : Math.max(0, to - place.hours * 3_600_000)
  const { answer, error } = useAsked<Answer>(`what-if?budget=${budget}&from=${from}&to=${to}`)
  return html`
    <h1>What if the alert budget were another?</h1>
    <${Slider} place=${place} budget=${budget} present=${budgetPerMillion} />
    ${error !== undefined && html`<p class="notice" role="alert">${error.message}</p>`}
    ${error === undefined && (answer === undefined ? html`<p class="empty" role="status">The past is decided again …</p>` : html`<${Outcome} answer=${answer} />`)}`
}

interface SliderProps {
  readonly place: Place
  readonly budget: number
  readonly present: number | undefined
}

function Slider({ place, budget, present }: SliderProps) {
  const steps = [...new Set([...budgets, budget, present ?? budget])].sort((a, b) => a - b)
  const [moved, setMoved] = useState<number | undefined>()
  const shown = moved ?? budget
  const read = (event: Event) => steps[Number((event.target as HTMLInputElement).value)] ?? budget
  const choose = (event: Event) => {
    setMoved(undefined)
    goTo({ ...place, budget: read(event) })
  }
  return html`<p class="slider">
    <label for="budget">Alerts per million events</label>
    <input id="budget" type="range" min="0" max=${steps.length - 1} step="1" value=${steps.indexOf(shown)}
      aria-valuetext=${`${formatNumber(shown)} per million`} onInput=${(event: Event) => setMoved(read(event))} onChange=${choose} />
    <output for="budget">${formatNumber(shown)}</output>
    <span class="aside">${present === undefined ? 'now a fixed threshold decides' : `now ${formatNumber(present)}`}</span>
  </p>`
}

function Outcome({ answer }: { readonly answer: Answer }) {
  const { from, to, events, was, wouldBe, check, come, go, yaml } = answer
  if (from === null || to === null) return html`<p class="empty">Nothing was judged in this time.</p>`
  const days = (to - from) / dayMs
  const perDay = (count: number) => (days > 0 ? formatNumber(count / days) : '–')
  return html`
    <dl class="figures">
      <div><dt>Alerts a day</dt><dd>${perDay(wouldBe.alerts)}</dd><dd class="aside">instead of ${perDay(was.alerts)}</dd></div>
      <div><dt>Alerts</dt><dd>${formatNumber(wouldBe.alerts)}</dd><dd class="aside">instead of ${formatNumber(was.alerts)}</dd></div>
      <div><dt>Episodes</dt><dd>${formatNumber(wouldBe.episodes)}</dd><dd class="aside">instead of ${formatNumber(was.episodes)}</dd></div>
      <div><dt>Events</dt><dd>${formatNumber(events)}</dd><dd class="aside">${formatTime(from)} to ${formatTime(to)} UTC</dd></div>
    </dl>
    <p class="lead">${trust(was.alerts, check)} Scores stay as they were recorded: what an episode that comes or goes would have changed in what was learnt is not known.</p>
    <section aria-labelledby="come"><h2 id="come">Episodes that would come</h2><${Named} named=${come} /></section>
    <section aria-labelledby="go"><h2 id="go">Episodes that would go</h2><${Named} named=${go} isRecorded /></section>
    <section aria-labelledby="apply"><h2 id="apply">To apply it</h2>
      <p>Put this into the pipeline's document; what runs takes it up by itself, without a restart, where the document is watched.</p>
      <pre tabindex="0" aria-label="Pipeline">${yaml}</pre>
    </section>`
}

function trust(recorded: number, { alerts, same }: Answer['check']): string {
  const found = `Decided again as the pipeline is now, the same events give ${counted(alerts, 'alert')}`
  return `${found}, ${formatNumber(same)} of them among the ${formatNumber(recorded)} that were recorded: so far the figures can be trusted.`
}

function Named({ named, isRecorded = false }: { readonly named: Named; readonly isRecorded?: boolean }) {
  const { count, episodes } = named
  if (count === 0) return html`<p class="empty">None.</p>`
  return html`<table class="rows">
      <thead><tr><th scope="col">Began (UTC)</th><th scope="col">Key</th><th scope="col">Alerts</th><th scope="col">Peak</th><th scope="col">Why</th></tr></thead>
      <tbody>${episodes.map(
        (episode) => html`<tr key=${episode.episodeId}>
          <td>${isRecorded ? html`<a href=${urlOf({ page: 'episode', id: episode.episodeId })}>${formatTime(episode.firstTimestamp)}</a>` : formatTime(episode.firstTimestamp)}</td>
          <td>${episode.userId === null ? nameOf(episode) : html`<a href=${urlOf({ page: 'key', id: episode.userId })}>${nameOf(episode)}</a>`}</td>
          <td>${alertsOver(episode)}</td>
          <td class="score">${formatScore(episode.peakScore)}</td>
          <td class="why">${reasonsInWords(episode.reasons)}</td>
        </tr>`,
      )}</tbody>
    </table>
    ${count > episodes.length && html`<p class="aside">and ${formatNumber(count - episodes.length)} more, with lower peaks</p>`}`
}
